"""Triplets by a language model: of a server, in its batches, or on this machine."""
