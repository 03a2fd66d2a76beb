"""What a growing context is walked with: exact quotients, and steps that take equally long."""

from __future__ import annotations

from itertools import pairwise
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from accelsim.engine import runs, timing
from accelsim.engine.timing import feedback, grows_evenly
from accelsim.engine.transfers import quotient

SETTINGS = settings(deadline=None, derandomize=True, max_examples=500)


@given(whole=st.integers(0, 2**50 - 2), divisor=st.integers(1, 2**40), rest=st.integers(-2, 2**40))
@SETTINGS
def test_a_quotient_by_a_reciprocal_is_exact(whole: int, divisor: int, rest: int) -> None:
    dividend = min(max(whole * divisor + rest % divisor, 0), 2**62)
    assert quotient.py_func(dividend, divisor, 1.0 / divisor) == dividend // divisor


@given(
    steps=st.integers(1, 80),
    latency=st.integers(1, 9),
    interval=st.integers(1, 5),
    places=st.integers(1, 9),
)
@SETTINGS
def test_once_settled_every_step_takes_the_same(
    steps: int, latency: int, interval: int, places: int
) -> None:
    plain = feedback.py_func  # the compiled ones can be called by kernels alone
    with patch.object(timing, "feedback", plain):
        even = grows_evenly.py_func(steps, latency, interval, places, 1)
    if even:
        busy = [plain(steps + i, latency, interval, places)[0] for i in range(100)]
        assert len({after - before for before, after in pairwise(busy)}) == 1


@given(
    extent=st.integers(1, 300),
    size=st.integers(1, 40),
    step=st.integers(1, 90),
    count=st.integers(1, 200),
)
@SETTINGS
def test_sums_over_a_growing_dimension_are_those_of_its_members(
    extent: int, size: int, step: int, count: int
) -> None:
    def dimension(length: int) -> tuple[int, int, int, int]:
        return 1, length, -(-length // size), sum(i % size for i in range(length))

    with patch.object(runs, "until_again", runs.until_again.py_func):
        found = runs.sums_of_grown.py_func(dimension(extent), size, step, count)
    members = [dimension(extent + i * step) for i in range(count)]
    assert found == tuple(sum(column) for column in zip(*members, strict=True))
