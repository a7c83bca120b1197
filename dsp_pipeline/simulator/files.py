"""Where files lie, and how they get there: written aside under `.aside/`, then renamed.

<out>/parameters.json                              first: what this folder is going to hold
<out>/<event>/<YYYY-MM-DD>/<HH>-<n>.jsonl.gz       UTC hour; n = 0 on time, 1 late
<out>/late/<event>/<YYYY-MM-DD>/<HH>-1.jsonl.gz    until `deliver_late`
<out>/truth/<YYYY-MM-DD>/<HH>.parquet              of impressions; never read by the pipeline
<out>/truth_of_bids/<YYYY-MM-DD>/<HH>.parquet      of bids, where their log is written; never read by the pipeline
<out>/manifest.json                                last: the folder is whole
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from isal import isal_zlib

from dsp_pipeline.simulator.text import content

ASIDE = ".aside"
ON_TIME, LATE = 0, 1
OF_IMPRESSIONS, OF_BIDS = TRUTHS = "truth", "truth_of_bids"


def hour_path(folder: Path, hour: int, ending: str) -> Path:
    """`hour` counts from 1970; `ending` follows the two digits of the hour."""
    at = datetime.fromtimestamp(hour * 3600, UTC)
    return folder / f"{at:%Y-%m-%d}" / f"{at:%H}{ending}"


def log_path(out: Path, event: str, hour: int, number: int) -> Path:
    """Where a log file is written; `number` is ON_TIME or LATE."""
    return hour_path((out / "late" if number == LATE else out) / event, hour, f"-{number}.jsonl.gz")


@contextmanager
def aside(out: Path, target: Path) -> Iterator[Path]:
    """A path to write to; renamed to `target` at the end, replacing it, unless the writing fails."""
    hidden = out / ASIDE / "+".join(target.relative_to(out).parts)
    hidden.parent.mkdir(parents=True, exist_ok=True)
    yield hidden
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(hidden, target)


class GzipLog:
    """One gzip member, written piece by piece; no time and no name in its header, so equal lines are equal bytes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self._gzip = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)

    def write(self, lines: pa.BinaryArray) -> None:
        """Append lines, each with its newline."""
        if len(lines):
            self._file.write(self._gzip.compress(content(lines)))

    def close(self, truncate: bool = False) -> None:
        """Finish the file; with `truncate`, leave only the first six tenths of its bytes."""
        self._file.write(self._gzip.flush())
        self._file.close()
        if truncate:
            os.truncate(self._path, self._path.stat().st_size * 6 // 10)


def write_json(out: Path, name: str, value: Any) -> None:
    """Replace a file of the folder by the value, keys in order."""
    with aside(out, out / name) as path:
        path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def deliver_late(out: Path) -> list[Path]:
    """Move every file that was held back into place; the paths where they are now. Twice does nothing more."""
    moved = []
    for path in sorted((out / "late").glob("*/*/*.jsonl.gz")):
        target = out / path.relative_to(out / "late")
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)
        moved.append(target)
    return moved
