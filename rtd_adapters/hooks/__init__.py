"""What plugins may add, and how they are found."""
