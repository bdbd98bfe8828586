"""Composed search in one's own pictures."""
