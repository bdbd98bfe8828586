"""Looks at an upstream checkout or a checkpoint and says what it is and what to type."""

from rtd_adapters.doctor.examine import Diagnosis as Diagnosis, examine as examine
