"""The method seam: what a plugin says about one composed-image-retrieval method."""
