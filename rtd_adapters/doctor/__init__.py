"""Looks at an upstream checkout or a checkpoint and says what it is and what to type."""

from rtd_adapters.doctor.examine import examine as examine
from rtd_adapters.doctor.finding import Finding as Finding
