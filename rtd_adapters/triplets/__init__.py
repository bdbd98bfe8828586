"""Text triplets: what they are, where they come from, how they are made and judged."""

from rtd_adapters.triplets.records import Triplet, TripletSet
from rtd_adapters.triplets.sources import read_captions, read_triplets, write_triplets

__all__ = ["Triplet", "TripletSet", "read_captions", "read_triplets", "write_triplets"]
