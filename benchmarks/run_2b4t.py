"""A warm run of the 2B4T network: from process start to numbers on disk, beside importing numba.

The claim: prefill 512 and decode 128 of bitnet-b1.58-2b-4t on one design has its numbers on disk
under one second beyond what `import numba` alone takes. Both are measured here, in turn, as whole
processes. Prints a table and, last, one JSON line.

    python benchmarks/run_2b4t.py
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time

RUNS = 7
DESIGN = "ternary_os_32x32"


def seconds(command: list[str]) -> float:
    """Return the wall time of a whole process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Measure both commands in turn and print medians."""
    with tempfile.TemporaryDirectory() as folder:
        run = [
            sys.executable,
            "-m",
            "accelsim",
            "run",
            DESIGN,
            "--network",
            "bitnet-b1.58-2b-4t",
            "--prefill",
            "512",
            "--decode",
            "128",
            "--no-report",
            "--json",
            "--out",
            folder,
        ]
        bare = [sys.executable, "-c", "import numba"]
        seconds(run)  # fills the kernel cache
        pairs = [(seconds(run), seconds(bare)) for _ in range(RUNS)]
    whole, numba = (statistics.median(column) for column in zip(*pairs, strict=True))
    beyond = statistics.median(a - b for a, b in pairs)
    print(f"accelsim run {DESIGN}, 2B4T, 512 + 128   {whole:6.2f} s")
    print(f"python -c 'import numba'                {numba:6.2f} s")
    print(f"beyond importing numba                  {beyond:6.2f} s   (goal: below 1)")
    print(
        json.dumps(
            {
                "run_s": whole,
                "import_numba_s": numba,
                "beyond_s": beyond,
                "ratio_to_import": whole / numba,
            }
        )
    )


if __name__ == "__main__":
    main()
