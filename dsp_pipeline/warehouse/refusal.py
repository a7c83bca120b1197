"""What DuckDB says of a query that it cannot answer, in one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from dsp_pipeline.errors import first_line

if TYPE_CHECKING:
    import duckdb

_CANDIDATES = re.compile(r"^Candidate (?:bindings|tables): (.+)$", re.MULTILINE)
# By words of a value that cannot be computed with: what the field writes where there may be such a value.
_INSTEAD = {"division by zero": "SAFE_DIVIDE", "convert": "SAFE_CAST", " value: ": "SAFE_CAST"}


def refusal(error: duckdb.Error, path: Path) -> str:
    """The first line and the file that has it; what is near an unknown name, what helps with a value or memory."""
    import duckdb

    if isinstance(error, (duckdb.ConversionException, duckdb.InvalidInputException, duckdb.OutOfRangeException)):
        said = first_line(error).partition(": ")[2].partition(". Use TRY")[0].rstrip("!.")
        instead = next((other for words, other in _INSTEAD.items() if words in said.lower()), None)
        return f"{said}; {f'{instead} gives NULL there, ' if instead else ''}see {path}."
    if isinstance(error, duckdb.OutOfMemoryException):
        return (
            f"it needs more memory, or disk, than it may have; raise [dsp] memory_limit_mb, make room on the disk, "
            f"or look for a join in {path} that lacks a condition ({first_line(error)})."
        )
    if not isinstance(error, duckdb.BinderException):
        return first_line(error)
    said = first_line(error).removeprefix("Binder Error: ").rstrip("!.")
    near = _CANDIDATES.search(str(error))
    return f"{said}; did you mean {near[1]}? See {path}." if near else f"{said}; see {path}."
