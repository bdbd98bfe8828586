"""`rtd projection train`, end to end."""

from rtd_adapters.jobs.projection.inputs import ProjectionJob
from rtd_adapters.jobs.projection.train import ProjectionResult, train_projection

__all__ = ["ProjectionJob", "ProjectionResult", "train_projection"]
