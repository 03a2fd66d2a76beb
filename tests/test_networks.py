"""Every shipped network shape loads and has the parameters its name promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from accelsim.config import load_network_config
from accelsim.functional.operator_rows import footprint, linear_weights
from accelsim.trace import Workload

MODELS = Path(__file__).parent.parent / "models"
SHAPES = sorted(MODELS.glob("*.yaml"))

# Billions of parameters in all: the 2B4T tensors, and what each name says (within 8 %).
PARAMETERS = {
    "bitnet-b1.58-700m": 0.7,
    "bitnet-b1.58-1.3b": 1.3,
    "bitnet-b1.58-2b-4t": 2.412820480,
    "bitnet-b1.58-3b": 3.32,  # parameter count of 1bitLLM/bitnet_b1_58-3B
    "bitnet-b1.58-7b": 6.738,  # LLaMA 7B
    "bitnet-b1.58-13b": 13.016,  # LLaMA 13B
    "bitnet-b1.58-70b": 68.977,  # LLaMA 2 70B
    "opt-6.7b": 6.7,
    "opt-13b": 13.0,
    "llama-3.2-1b": 1.236,
    "gemma-3-1b": 1.0,
    "smollm2-1.7b": 1.711,
}


def test_every_network_is_listed() -> None:
    assert {path.stem for path in SHAPES} == set(PARAMETERS)


@pytest.mark.parametrize("path", SHAPES, ids=lambda path: path.stem)
def test_network_has_the_parameters_of_its_name(path: Path) -> None:
    config = load_network_config(path)
    assert config.name == path.stem
    stored = footprint(config, Workload(1, 0), "ternary")
    total = stored.ternary + stored.dense + stored.head + stored.norm
    assert total == pytest.approx(PARAMETERS[path.stem] * 1e9, rel=0.08)
    assert (stored.ternary or stored.dense) == linear_weights(config)
    assert config.description
    assert config.source
