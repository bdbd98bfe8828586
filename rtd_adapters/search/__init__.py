"""One's own pictures, searched: an index of them, the encoder of queries, and a local page."""
