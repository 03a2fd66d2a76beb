"""Numbers are spelt with three digits that read back to what they stand for."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.report.quantities import (
    digits,
    interval,
    operator_name,
    percent,
    plain_name,
    quantity,
    scale,
    span,
    times,
)

POWERS = {"T": 12, "G": 9, "M": 6, "k": 3, "": 0, "m": -3, "µ": -6, "n": -9, "p": -12, "f": -15}


@given(st.floats(1e-14, 1e14))
def test_a_quantity_reads_back_within_half_a_digit(value):
    number, unit = quantity(value, "J").split(" ")
    assert unit[-1] == "J"
    read = float(number.replace(",", "")) * 10.0 ** POWERS[unit[:-1]]
    assert read == pytest.approx(value, rel=0.0051)


@given(st.floats(1e-9, 1e9))
def test_digits_are_three_and_read_back(value):
    text = digits(value).replace(",", "")
    assert float(text) == pytest.approx(value, rel=0.0051)
    if 1 <= value < 999:
        assert len(text.replace(".", "")) == 3


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (9.996, "10.0"), (999.6, "1,000"), (0.0012, "0.00120"), (4e-4, "4.00e-4")],
)
def test_digits_at_the_borders(value, text):
    assert digits(value) == text


def test_what_is_missing_is_said():
    for spelt in (quantity(None), quantity(math.nan), percent(None), times(math.inf)):
        assert spelt == "n/a"
    assert interval(None, 1.0) == span(1.0, math.inf) == "n/a"


def test_shares_intervals_and_names():
    assert (percent(0.0001), percent(0), percent(0.1234)) == ("<0.1 %", "0.0 %", "12.3 %")
    assert interval(0.0009, 0.0021, "J") == "0.900 to 2.10 mJ"
    assert (span(1, 2.5), times(3.21)) == ("1.00–2.50", "3.21×")
    assert [plain_name(n) for n in ("sram", "operand_registers", "lm_head")] == [
        "SRAM",
        "operand registers",
        "lm_head",
    ]
    assert (operator_name("decode/q_proj"), operator_name("q_proj")) == ("q_proj", "q_proj")


def test_scale_of_nothing_is_one():
    assert scale([]) == scale([0.0]) == (1.0, "")
    assert scale([999.9e-6]) == (1e-3, "m")
