"""The timeline in Chrome's trace-event format, which Perfetto and chrome://tracing open.

A process per excerpt (one prefill, first and last decode step), a track per unit and one for DRAM.
"""

from __future__ import annotations

import json
from typing import Any

from accelsim.report.quantities import operator_name
from accelsim.result import UNITS, OperatorRow, Result, Segment

TRACKS = (*UNITS, "dram")
Event = dict[str, Any]


def timeline_json(result: Result) -> str:
    """Return the trace-event JSON of ``result``; times are microseconds at the design's clock."""
    excerpts = list(dict.fromkeys(segment.excerpt for segment in result.timeline))
    shapes = {(row.phase, operator_name(row.name)): row for row in result.operators}
    events: list[Event] = []
    for segment in result.timeline:
        process = excerpts.index(segment.excerpt)
        phase = 0 if segment.excerpt == "prefill" else 1
        details = _details(shapes.get((phase, operator_name(segment.name))), segment)
        events += _events(segment, process, details, result.clock_mhz)
    events.sort(key=lambda event: (event["pid"], event["tid"], event["ts"]))
    events = _without_overlap(events)
    content = {
        "traceEvents": [*_names(result, excerpts), *events],
        "displayTimeUnit": "ns",
        "otherData": {
            "design": result.design,
            "network": result.network,
            "clock_mhz": result.clock_mhz,
        },
    }
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"


def _names(result: Result, excerpts: list[str]) -> list[Event]:
    """Return the metadata events that name and order processes and tracks."""
    events: list[Event] = []
    for process, excerpt in enumerate(excerpts):
        title = f"{excerpt}: {result.design}"
        events.append(_label("process_name", process, 0, {"name": title}))
        events.append(_label("process_sort_index", process, 0, {"sort_index": process}))
        for track, name in enumerate(TRACKS):
            events.append(_label("thread_name", process, track, {"name": name}))
            events.append(_label("thread_sort_index", process, track, {"sort_index": track}))
    return events


def _label(name: str, process: int, track: int, details: Event) -> Event:
    return {"name": name, "ph": "M", "pid": process, "tid": track, "args": details}


def _events(segment: Segment, process: int, details: Event, clock_mhz: float) -> list[Event]:
    parts = (
        (segment.unit, segment.start, segment.cycles),
        ("dram", segment.dram_start, segment.dram_cycles),
    )
    return [
        {
            "name": segment.name,
            "cat": track,
            "ph": "X",
            "pid": process,
            "tid": TRACKS.index(track),
            **_span(start, cycles, clock_mhz),
            "args": details,
        }
        for track, start, cycles in parts
        if cycles
    ]


def _without_overlap(events: list[Event]) -> list[Event]:
    """Return sorted events, each cut to begin after the one before it on its track.

    A transfer that is longer than its operator began while the previous one still ran; a track
    shows one at a time. The arguments keep the whole length.
    """
    kept: list[Event] = []
    ends: dict[tuple[int, int], float] = {}
    for event in events:
        track = (event["pid"], event["tid"])
        end = round(event["ts"] + event["dur"], 6)
        begin = max(event["ts"], ends.get(track, 0.0))
        if end > begin:
            kept.append({**event, "ts": begin, "dur": round(end - begin, 6)})
            ends[track] = end
    return kept


def _span(start: int, cycles: int, clock_mhz: float) -> Event:
    """Return ts and dur in whole picoseconds, so that neighbours meet without overlap."""
    begin = round(start * 1e6 / clock_mhz)
    end = round((start + cycles) * 1e6 / clock_mhz)
    return {"ts": begin / 1e6, "dur": (end - begin) / 1e6}


def _details(row: OperatorRow | None, segment: Segment) -> Event:
    """Return what a click on an event shows; shapes are those of the row's first instance."""
    details: Event = {"cycles": segment.cycles, "dram_cycles": segment.dram_cycles}
    if row is not None:
        shape = {"m": row.m, "k": row.k, "n": row.n}
        details |= {"kind": row.kind, **shape, "instances": row.instances, "bound": row.bound}
    return details
