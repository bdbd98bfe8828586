"""`rtd adapt`, end to end: captions to projection to triplets to patch."""

from rtd_adapters.jobs.adapt.job import AdaptJob
from rtd_adapters.jobs.adapt.run import AdaptResult, run_adapt

__all__ = ["AdaptJob", "AdaptResult", "run_adapt"]
