"""All parts of the suite, one after the other: a table, JSON and a page of what was found.

python -m bench                    # about ten minutes on two cores
python -m bench --full             # hours
python -m bench --only ingest,features
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback
from datetime import UTC, datetime
from typing import cast

from bench.measure import keep, table
from bench.page import write_page
from bench.part import FULL, MODERATE, Figure, Measured, Part

PARTS = ("ingest", "growth", "features", "nothing_to_do", "train", "score", "orchestration", "whole_day")
MINUTES = tuple(name for name in PARTS if name != "whole_day")  # which takes one each time


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="sizes at which the targets are set")
    parser.add_argument("--only", metavar="A,B", help=f"these parts of {', '.join(PARTS)}")
    options = parser.parse_args()
    chosen = options.only.split(",") if options.only else PARTS if options.full else MINUTES
    if unknown := [name for name in chosen if name not in PARTS]:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    sizes = FULL if options.full else MODERATE
    found: dict[str, Measured] = {}
    failed = []
    for name in chosen:
        started = time.monotonic()
        print(f"{name} …", flush=True)
        try:
            found[name] = cast(Part, importlib.import_module(f"bench.{name}")).measure(sizes)
        except Exception as error:  # after an hour, what the other parts found is worth having
            traceback.print_exc()
            failed.append(name)
            found[name] = Measured([Figure(name, skipped=f"it failed ({type(error).__name__})")])
        print(f"{name} took {time.monotonic() - started:.0f} s\n", flush=True)
    print(told(found))
    title = f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {sizes.name} sizes, medians of {sizes.times}"
    kept = keep("bench", {"sizes": sizes.name, "parts": {name: one.as_json() for name, one in found.items()}})
    print(f"\nkept in {kept} and {write_page(kept.with_suffix('.html'), title, found)}")
    if failed:
        sys.exit(f"error: {', '.join(failed)} failed; what it said stands above.")


def told(found: dict[str, Measured]) -> str:
    """The table: a line a figure."""
    rows = [
        [
            f"{part}: {one.contender}",
            one.beside,
            *(f"{value:.3f}" if value is not None else "" for value in (one.ratio, one.target)),
            one.verdict,
            *(f"{value:.2f}" if value is not None else "" for value in (one.seconds, one.cpu_seconds)),
            f"{one.peak_bytes / 1e6:.0f}" if one.peak_bytes is not None else "",
        ]
        for part, measured in found.items()
        for one in measured.figures
    ]
    return table(["", "beside", "ratio", "target", "", "seconds", "CPU seconds", "peak MB"], rows)


if __name__ == "__main__":
    main()
