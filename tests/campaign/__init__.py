"""Long runs of the same few checks under ever other circumstances."""
