"""Property tests: the same examples every time; ``--fresh`` searches with new ones."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("fresh", deadline=None, print_blob=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fresh", action="store_true", help="property tests search with fresh seeds")


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("fresh" if config.getoption("--fresh") else "ci")
