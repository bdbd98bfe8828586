"""Results and diagnoses as HTML pages that need nothing else."""
