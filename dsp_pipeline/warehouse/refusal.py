"""What DuckDB says of a query that it cannot answer, in one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from dsp_pipeline.errors import first_line

if TYPE_CHECKING:
    import duckdb

_CANDIDATES = re.compile(r"^Candidate (?:bindings|tables): (.+)$", re.MULTILINE)


def refusal(error: duckdb.Error, path: Path) -> str:
    """The first line; where a name is unknown also those that are near, and the file that has it."""
    import duckdb

    if not isinstance(error, duckdb.BinderException):
        return first_line(error)
    said = first_line(error).removeprefix("Binder Error: ").rstrip("!.")
    near = _CANDIDATES.search(str(error))
    return f"{said}; did you mean {near[1]}? See {path}." if near else f"{said}; see {path}."
