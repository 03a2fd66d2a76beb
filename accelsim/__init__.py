"""Cycles, energy and area of ternary, integer and FMAC hardware on real ternary networks.

import accelsim

result = accelsim.run("ternary_os_32x32")
print(result.phases[1].energy_pj.sum() / result.phases[1].tokens, "pJ per decoded token")
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Public names and the module that has them: loaded when first used, so that importing is free.
_PUBLIC = {
    "load_design": "accelsim.api",
    "run": "accelsim.api",
    "compare": "accelsim.api",
    "gemm": "accelsim.api",
    "sweep": "accelsim.sweeps",
    "load_network": "accelsim.inference",
    "infer": "accelsim.inference",
    "UserError": "accelsim.errors",
}

__all__ = [*_PUBLIC, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
