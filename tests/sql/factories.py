"""Small SQL files and queries for the tests of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dsp_pipeline.sql.query import Query, read_query

BODY = """
SELECT i.impression_id, c.click_id IS NOT NULL AS clicked
FROM impression AS i
LEFT JOIN click AS c ON c.impression_id = i.impression_id
"""


def make_text(
    body: str = BODY,
    *,
    grain: str | None = "One row per impression of @date.",
    reads: str | None = "impression [0, 0], click [0, +1]",
    key: str | None = "impression_id",
) -> str:
    """A SQL file; None leaves an entry of the header out. The body begins on the line after the header."""
    header = [grain, reads and f"reads: {reads}", key and f"key: {key}"]
    return "\n".join([*(f"-- {line}" for line in header if line), body.strip(), ""])


def write(folder: Path, name: str = "labels", *, text: str | None = None, **changes: Any) -> Path:
    """Write a file of `make_text(**changes)`, or of `text`."""
    path = folder / f"{name}.sql"
    path.write_text(make_text(**changes) if text is None else text, encoding="utf-8")
    return path


def make_query(folder: Path, **changes: Any) -> Query:
    return read_query(write(folder, **changes))
