"""What every SystemVerilog module is held to: Verilator warns of nothing, Yosys elaborates it."""

from __future__ import annotations

from collections.abc import Iterable

from rtl_needed import need_verilator, need_yosys

from accelsim.rtl.circuit import lint
from accelsim.rtl.sources import SV_FOLDER, sources_of
from accelsim.rtl.tools import yosys


def assert_lint_is_silent(top: str, parameters: dict[str, int]) -> None:
    need_verilator()
    assert lint(top, parameters) == ""


def assert_yosys_elaborates(modules: Iterable[tuple[str, dict[str, int]]]) -> None:
    need_yosys()
    tool = yosys()
    assert tool is not None
    lines = []
    for top, parameters in modules:
        lines += ["design -reset"]
        lines += [f'read_verilog -sv "{file}"' for file in sources_of(top, [SV_FOLDER])]
        values = " ".join(f"-chparam {name} {value}" for name, value in parameters.items())
        lines += [f"hierarchy -check -top {top} {values}", "proc", "check -assert"]
    done = tool.call(["\n".join(lines)])
    assert done.returncode == 0, done.stdout[-2000:]
