"""How hard is searched: a little by default, for long with `--hypothesis-profile long`."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

ALL_FINE = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
settings.register_profile(
    "short", max_examples=40, deadline=5000, derandomize=True, suppress_health_check=ALL_FINE
)
settings.register_profile(
    "long", max_examples=2500, deadline=10_000, suppress_health_check=ALL_FINE
)


def pytest_configure(config):
    if not config.getoption("hypothesis_profile", None):
        settings.load_profile("short")
