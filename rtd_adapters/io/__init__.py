"""What is read from disk and written to it: whole or not at all, and nothing of it is run."""
