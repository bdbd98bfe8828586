"""Evaluation: metrics, benchmarks, before and after."""
