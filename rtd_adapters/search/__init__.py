"""Composed search in one's own pictures: an index of them, and what asks it."""
