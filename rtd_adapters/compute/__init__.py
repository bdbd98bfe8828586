"""What a run computes on: its device, its precision, and the processes that share it."""
