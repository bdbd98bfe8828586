"""What a run computes on: its device, its precision, and its processes."""
