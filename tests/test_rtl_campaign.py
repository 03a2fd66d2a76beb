"""Some hundred GEMMs on random arrays up to 16 x 16: ``python -m pytest --rtl-full`` runs them."""

from __future__ import annotations

import numpy as np
import pytest
from rtl_arrays import Organisation, array, assert_exact, label, operands, shapes_around
from rtl_needed import need_simulator

from accelsim.functional.operand_source import LinearOperands
from accelsim.rtl.arrays import KINDS, Bench, RtlArray
from accelsim.rtl.cosimulate import cut
from accelsim.workloads import Request, open_source

need_simulator()

SMALL_ARRAYS, GEMMS = 40, 6  # and the three edges of shapes_around


def drawn(rng: np.random.Generator, organisation: Organisation, rows: int, cols: int) -> RtlArray:
    dot = organisation is Organisation.DOT
    pes = [name for name, kind in KINDS.items() if organisation in kind.organisations]
    # As many integers as floats: floats take longer to build.
    pe = str(rng.choice(pes if rng.integers(2) else [p for p in pes if not KINDS[p].floating]))
    floating = KINDS[pe].floating
    return array(
        organisation,
        rows,
        cols,
        pe=pe,
        bits=32 if floating else int(rng.choice([8, 9, 12, 16, 20, 24, 32])),
        overflow="wrap" if floating else str(rng.choice(["wrap", "saturate"])),
        lanes=int(rng.integers(1, 9)) if dot else 1,
        latency=int(rng.integers(1, 4)),
        interval=int(rng.integers(1, 3)),
        interleave=bool(rng.integers(2)),
        overlap=bool(rng.integers(2)),
    )


def campaign() -> list[RtlArray]:
    rng = np.random.default_rng(2402)
    size = rng.integers(1, 7, (SMALL_ARRAYS, 2)).tolist()
    small = [drawn(rng, Organisation(i % 4), *size[i]) for i in range(SMALL_ARRAYS)]
    large = [
        array(
            organisation,
            edge,
            edge,
            lanes=4 if organisation is Organisation.DOT else 1,
            latency=latency,
            bits=20,
            interleave=True,
        )
        for edge, latency in ((8, 2), (16, 1))
        for organisation in Organisation
    ]
    return small + large


@pytest.fixture(scope="module")
def linears() -> list[LinearOperands]:
    return open_source(Request(decode=0)).operands(lambda text: None)


@pytest.mark.rtl_full
@pytest.mark.parametrize("built", campaign(), ids=label)
def test_random_gemms_are_exact(built: RtlArray, linears: list[LinearOperands]) -> None:
    """Every second GEMM on operands of the shipped network."""
    rng = np.random.default_rng(len(label(built)))
    with Bench(built, built.build(), seed=1) as bench:
        for number, shape in enumerate(shapes_around(built, GEMMS, rng)):
            if number % 2:
                assert_exact(built, bench, *operands(built.pe, shape, rng))
                continue
            source = linears[-1 if built.kind.floating else int(rng.integers(len(linears) - 1))]
            product = cut(built.kind, source.name, source.activations, source.weights, shape, rng)
            assert_exact(built, bench, product.activations, product.weights)
