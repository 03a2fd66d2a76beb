"""What tests of the SystemVerilog need: without it they say why they are skipped, or fail in CI."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

from accelsim.errors import UserError
from accelsim.rtl.tools import choose_backend, compiler, verilator, yosys

REQUIRED = any(os.environ.get(name) for name in ("CI", "ACCELSIM_REQUIRE_RTL"))


def need_simulator(backend: str | None = None) -> None:
    """Skip this test or module unless a circuit can be built, with ``backend`` if one is named."""
    try:
        compiler()
        choose_backend(backend)
    except UserError as missing:
        _give_up(str(missing))


def need_verilator() -> None:
    """Skip unless Verilator is here, for lint."""
    try:
        verilator()
    except UserError as missing:
        _give_up(str(missing))


def need_yosys() -> None:
    """Skip unless Yosys is here."""
    if yosys() is None:
        _give_up("Yosys is not installed; pip install 'accelsim[rtl]'")


def _give_up(reason: str) -> NoReturn:
    if REQUIRED:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason, allow_module_level=True)
