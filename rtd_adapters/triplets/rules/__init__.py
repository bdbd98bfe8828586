"""Triplets of captions without a language model."""
