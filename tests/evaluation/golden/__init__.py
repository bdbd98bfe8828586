"""Miniature benchmarks and made-up embeddings, and what the authors' own code finds on them.

    RTD_UPSTREAMS=folder/with/checkouts python -m golden.make     (in tests/evaluation)

writes `figures.json` anew: facts alone, no line of theirs. test_golden.py holds our loaders and
search to it.
"""
