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
    parser.addoption(
        "--rtl-full",
        action="store_true",
        help="also run what takes minutes: campaign, widest units",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "rtl_full: minutes of simulation, run with --rtl-full")
    settings.load_profile("fresh" if config.getoption("--fresh") else "ci")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="takes minutes: --rtl-full runs it")
    for item in items:
        if "rtl_full" in item.keywords and not config.getoption("--rtl-full"):
            item.add_marker(skip)
