"""Static timing, leakage and timed simulation, beside programs of others on the same netlists.

The library is a made-up one. ``ACCELSIM_LIBERTY``, the files of a real one with spaces between
them, adds that one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import gate_tools
import numpy as np
import numpy.typing as npt
import pytest
from rtl_needed import need_yosys

from accelsim.rtl.characterise import Mapped, map_module
from accelsim.rtl.gate_energy import input_bits
from accelsim.rtl.gate_kernels import settle_timed
from accelsim.rtl.liberty import Cell, Library, read_library
from accelsim.rtl.operand_streams import drawn_streams
from accelsim.rtl.pe_subjects import SUBJECTS, fitted, stimulus_of
from accelsim.rtl.synthesis import Mapper, Setting
from accelsim.rtl.synthesise import known_library

MADE_UP = Path(__file__).resolve().parent / "sv" / "made_up.lib"
GIVEN = os.environ.get("ACCELSIM_LIBERTY", "").split()
PES = {"ternary_add": 1, "int8_mac": 1, "ternary_dot4": 1}  # and a latency
CASES = [([MADE_UP], *pe) for pe in PES.items()]
if GIVEN:
    CASES += [([Path(name) for name in GIVEN], *pe) for pe in [*PES.items(), ("bf16_fmac", 3)]]
CYCLES = 250
FINER = 1009  # ticks in a picosecond where no two changes may coincide


@dataclass(frozen=True)
class Case:
    """A netlist, its library, and operands: uint8 [cycles, inputs]."""

    mapped: Mapped
    library: Library
    driver: Cell
    files: list[Path]
    bits: npt.NDArray[np.uint8]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0][0].stem}-{case[1]}")
def case(request: pytest.FixtureRequest) -> Case:
    need_yosys()
    files, name, latency = request.param
    subject = SUBJECTS[name]
    library = read_library(files)
    mapper = Mapper(library, known_library(library)[0])
    mapped = map_module(mapper, subject.top, subject.parameters(latency), Setting(2000))
    mapper.close()
    rng = np.random.default_rng(7)
    stream = next(drawn_streams(rng, CYCLES * subject.lanes, ternary=True, count=1))
    stimulus = stimulus_of(fitted(stream, subject, rng), subject, latency)
    return Case(mapped, library, mapper.driver, files, input_bits(mapped.circuit, stimulus))


def test_opensta_finds_the_same_clock_and_leakage(case: Case, tmp_path: Path) -> None:
    """It takes the larger of a pin's rise and fall capacitance, we take their mean."""
    gate_tools.need("sta")
    files = gate_tools.read_by_others(case.files, tmp_path)
    theirs, leakage = gate_tools.opensta(case.mapped, case.library, case.driver, files, tmp_path)
    ratio = case.mapped.timing.critical_ps / theirs
    print(f"{case.mapped.top}: {ratio:.4f} of OpenSTA's period of {theirs:.1f} ps")
    assert ratio == pytest.approx(1, abs=1e-4 if case.files == [MADE_UP] else 0.01)
    if case.files == [MADE_UP]:  # of other libraries it adds up what is stated for rails and states
        ours = [each.cell.leakage_nw for each in case.mapped.netlist.instances()]
        np.testing.assert_allclose(leakage * 1e9, ours, rtol=1e-4)


def test_icarus_sees_every_net_change_as_often(case: Case, tmp_path: Path) -> None:
    """With one delay for all pins of a gate, as an assignment in Verilog has it."""
    gate_tools.need("iverilog")
    case = replace(case, mapped=_without_ties(case.mapped))
    circuit = case.mapped.circuit
    arrays = circuit.arrays
    toggles = np.zeros(len(arrays.values), np.int64)
    watched = np.zeros(0, np.int32)
    settle_timed(
        arrays, case.bits, watched, np.zeros((len(case.bits), 0), np.uint8),
        np.zeros(len(case.bits)), np.zeros(len(circuit.units)), toggles,
    )  # fmt: skip
    period = 4 * FINER * int(case.mapped.timing.critical_ps)
    theirs = gate_tools.icarus(case.mapped, case.bits, period, tmp_path)
    quiet = np.abs(np.diff(gate_tools.values_of(case.mapped, case.bits).astype(np.int8), axis=0))
    assert toggles.sum() > 1.05 * quiet.sum(), "hardly a glitch to be seen"
    differing = np.flatnonzero(toggles != theirs)
    where = f"{len(differing)} of {len(toggles)} nets"
    print(f"{case.mapped.top}: {toggles.sum()} changes, {where} differ")
    np.testing.assert_array_equal(toggles, theirs)


def _without_ties(mapped: Mapped) -> Mapped:
    """Give all pins of a gate one delay, in finer ticks, so drawn that no two changes coincide.

    Whether a pulse as long as the delay passes depends on which of two events comes first.
    """
    rng = np.random.default_rng(3)
    arrays = mapped.circuit.arrays
    finer = {
        name: getattr(arrays, name) * FINER
        + rng.integers(FINER, size=(len(getattr(arrays, name)), 2))
        for name in ("pin_delay", "flop_delay", "input_delay")
    }
    for begin, end in zip(arrays.pin_start, arrays.pin_start[1:], strict=False):
        finer["pin_delay"][begin:end] = finer["pin_delay"][begin:end].max(axis=0)
    finer = {name: values.astype(np.int32) for name, values in finer.items()}
    return replace(mapped, circuit=replace(mapped.circuit, arrays=arrays._replace(**finer)))
