"""The names that `import accelsim` offers."""

from __future__ import annotations

import numpy as np
import pytest

import accelsim


def test_every_public_name_resolves() -> None:
    for name in accelsim.__all__:
        assert getattr(accelsim, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'simulate_all'"):
        _ = accelsim.simulate_all


def test_the_shipped_network_runs_from_python() -> None:
    network = accelsim.load_network("austen-12m", threads=1)
    logits = network.forward(np.array([[5, 6, 7]]), network.new_cache(1, 8))
    assert logits.shape == (1, 3, network.config.vocab_size)
    assert np.isfinite(logits).all()


def test_a_run_returns_what_the_command_prints() -> None:
    result = accelsim.run("ternary_os_32x32", network="bitnet-b1.58-700m", prefill=8, decode=2)
    assert [phase.tokens for phase in result.phases] == [8, 2]
    assert all(phase.energy_pj.sum() > 0 for phase in result.phases)
