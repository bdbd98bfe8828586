"""An index of one's own pictures: made once, kept up to date, and asked for what is nearest."""

from rtd_adapters.search.index.index import Index
from rtd_adapters.search.index.records import Entry, Hit, IndexCard, UnknownEntryError

__all__ = ["Entry", "Hit", "Index", "IndexCard", "UnknownEntryError"]
