"""Drivers of the authors' evaluation code, one for each repository; `golden.make` starts them."""
