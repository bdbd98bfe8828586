"""Text triplets: what they are and where they come from."""

from rtd_adapters.triplets.records import Triplet, TripletSet
from rtd_adapters.triplets.sources import read_triplets

__all__ = ["Triplet", "TripletSet", "read_triplets"]
