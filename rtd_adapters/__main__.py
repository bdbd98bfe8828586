"""`python -m rtd_adapters` is `rtd`."""

from rtd_adapters.cli import main

if __name__ == "__main__":
    main()
