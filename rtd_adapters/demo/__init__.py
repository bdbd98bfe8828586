"""The built-in miniature world: pictures, captions, a tiny CLIP, projections, triplets, queries."""
