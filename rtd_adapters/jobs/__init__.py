"""What a command does, end to end: inputs loaded and checked, work done, files written."""
