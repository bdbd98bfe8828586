"""The local page and the JSON API behind it: one small server over an index."""
