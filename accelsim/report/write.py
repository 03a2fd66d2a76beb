"""Put a result on disk: numbers first, then what is made from them.

Every file is written under a temporary name in its folder and moved into place, so a killed run
leaves no half file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.files import write_whole
from accelsim.report.summary import compare_summary, summary
from accelsim.report.tables import (
    area_csv,
    energy_csv,
    json_text,
    manifest_json,
    operators_csv,
    tensors_csv,
)
from accelsim.report.timeline import timeline_json
from accelsim.result import Comparison, Result, SweepResult

if TYPE_CHECKING:
    from accelsim.report.style import Picture

Files = Mapping[str, bytes]

ELSEWHERE = "choose another folder with --out"
GO_ON = "free space, then draw again with --resume"


def write_numbers(result: Result | Comparison, out_dir: str | os.PathLike[str]) -> list[Path]:
    """Write the numbers of ``result`` under ``out_dir`` and return the files in that order.

    A run gives summary.json, operators.csv, energy.csv, area.csv and manifest.json; a comparison
    gives compare.json and those five for each design in a folder of its name.

    Raises:
        UserError: the folder or a file cannot be written.
    """
    folder = Path(out_dir)
    if isinstance(result, Result):
        return write_files(folder, number_files(result))
    written = write_files(folder, {"compare.json": _encoded(json_text(compare_summary(result)))})
    for name, design in zip(folder_names(result.results), result.results, strict=True):
        written += write_files(folder / name, number_files(design))
    return written


def write_report(result: Result | Comparison, out_dir: str | os.PathLike[str]) -> list[Path]:
    """Write what is made from the numbers: figures (PNG and SVG), report.html, timeline.json.

    A comparison gives its own page and figures, and a timeline in each design's folder.

    Raises:
        UserError: the folder or a file cannot be written.
    """
    folder = Path(out_dir)
    if isinstance(result, Result):
        timeline = {"timeline.json": _encoded(timeline_json(result))}
        return _write_page(folder, result) + write_files(folder, timeline)
    written = _write_page(folder, result)
    for name, design in zip(folder_names(result.results), result.results, strict=True):
        written += write_files(folder / name, {"timeline.json": _encoded(timeline_json(design))})
    return written


def _write_page(folder: Path, result: Result | Comparison) -> list[Path]:
    # Matplotlib and jinja2 take longer to import than the numbers take to compute.
    from accelsim.report.figures import compare_figures, run_figures
    from accelsim.report.page import compare_page, page

    drawn = run_figures(result) if isinstance(result, Result) else compare_figures(result)
    written, pictures = write_figures(folder, drawn)
    text = page(result, pictures) if isinstance(result, Result) else compare_page(result, pictures)
    return written + write_files(folder, {"report.html": _encoded(text)})


def write_inspection(inspected: Mapping[str, Any], out_dir: str | os.PathLike[str]) -> list[Path]:
    """Write what `inspect` found: inspect.json, tensors.csv, figures (PNG and SVG), report.html.

    Raises:
        UserError: the folder or a file cannot be written.
    """
    from accelsim.report.anatomy_figures import inspection_figures
    from accelsim.report.anatomy_page import inspection_page

    folder = Path(out_dir)
    numbers = {
        "inspect.json": _encoded(json_text(inspected)),
        "tensors.csv": _encoded(tensors_csv(inspected)),
    }
    written = write_files(folder, numbers)
    drawn, pictures = write_figures(folder, inspection_figures(inspected))
    page = _encoded(inspection_page(inspected, pictures))
    return written + drawn + write_files(folder, {"report.html": page})


def write_sweep_report(result: SweepResult, out_dir: str | os.PathLike[str]) -> list[Path]:
    """Write what is made from the table of a sweep in ``out_dir``: figures and report.html.

    Raises:
        UserError: the table cannot be read, or a file cannot be written.
    """
    from accelsim.report.sweep_figures import sweep_figures
    from accelsim.report.sweep_page import sweep_page
    from accelsim.report.sweep_read import read_rows

    folder = Path(out_dir)
    rows = read_rows(result, folder)
    drawn, pictures = write_figures(folder, sweep_figures(rows), GO_ON)
    page = _encoded(sweep_page(rows, pictures, str(folder)))
    return drawn + write_files(folder, {"report.html": page}, GO_ON)


def write_pes(comparison: Mapping[str, Any], out_dir: str | os.PathLike[str]) -> list[Path]:
    """Write measured PEs in ``out_dir``: pes.csv, pes.md and figures.

    Raises:
        UserError: a file cannot be written.
    """
    from accelsim.report.pe_figures import pe_figures
    from accelsim.report.pe_table import markdown, pes_csv

    folder = Path(out_dir)
    texts = {"pes.csv": pes_csv(comparison), "pes.md": markdown(comparison)}
    written = write_files(folder, {name: _encoded(text) for name, text in texts.items()})
    drawn, _ = write_figures(folder, pe_figures(comparison))
    return written + drawn


def write_figures(
    folder: Path, drawn: Iterable[Picture], allowed: str = ELSEWHERE
) -> tuple[list[Path], list[dict[str, str]]]:
    """Write each figure as PNG and SVG; return the files and the figures as a page wants them."""
    from accelsim.report.style import inline, png, svg

    written, pictures = [], []
    for picture in drawn:
        vector = svg(picture)
        files = {f"{picture.name}.png": png(picture), f"{picture.name}.svg": vector}
        written += write_files(folder / "figures", files, allowed)
        texts = {"name": picture.name, "title": picture.title, "caption": picture.caption}
        pictures.append({**texts, "svg": inline(vector)})
    return written, pictures


def number_files(result: Result) -> dict[str, bytes]:
    """Return the numbers of one run by file name."""
    texts = {
        "summary.json": json_text(summary(result)),
        "operators.csv": operators_csv(result),
        "energy.csv": energy_csv(result),
        "area.csv": area_csv(result),
        "manifest.json": manifest_json(result),
    }
    return {name: _encoded(text) for name, text in texts.items()}


def folder_names(results: Iterable[Result]) -> list[str]:
    """Return a folder name for each design: safe in a path, different even ignoring case."""
    taken = {"figures"}
    names = []
    for result in results:
        safe = re.sub(r"[^A-Za-z0-9_.-]", "_", result.design).lstrip(".")[:80] or "design"
        name, serial = safe, 2
        while name.casefold() in taken:
            name, serial = f"{safe}-{serial}", serial + 1
        taken.add(name.casefold())
        names.append(name)
    return names


def write_files(folder: Path, files: Files, allowed: str = ELSEWHERE) -> list[Path]:
    """Write ``files`` (content by relative path) under ``folder``, each moved into place.

    Where the disk does not take one, ``allowed`` says what the user may do.
    """
    return [
        write_whole(folder / name, content, parents=True, allowed=allowed)
        for name, content in files.items()
    ]


def _encoded(text: str) -> bytes:
    return text.encode("utf-8")
