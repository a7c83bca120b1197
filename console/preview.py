"""Rows of a table in a terminal: across where they fit, else a line a column."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from console.printing import table

_LONGEST = 40  # characters of a value
_LONGEST_JSON = 2_000  # of what a step gave back


def value(given: Any) -> str:
    """What a step gave back, as JSON that is cut where it is long."""
    said = json.dumps(given, ensure_ascii=False, indent=1)
    return said if len(said) <= _LONGEST_JSON else f"{said[:_LONGEST_JSON]} …"


def show(out: Console, columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]], key: Sequence[str] = ()) -> None:
    """Print the columns with their types, those of the key in bold, and the rows."""
    across = _across(columns, rows, key)
    if rows and _width(out, across) <= out.width:
        out.print(across)
        return
    shown = list(rows)
    while len(shown) > 1 and _width(out, _down(columns, shown, key)) > out.width:
        shown.pop()
    out.print(_down(columns, shown, key), no_wrap=True)
    if len(shown) < len(rows):
        out.print(f"({len(shown)} of {len(rows)} rows fit; --json shows them all.)")


def plain(value: Any) -> Any:
    """A value as JSON has it: times in ISO, and words for the numbers that JSON lacks."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _across(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]], key: Sequence[str]) -> Table:
    made = table(*columns, right=[name for name, kind in columns.items() if _is_number(kind)])
    made.add_row(*columns.values(), style="dim")
    for row in rows:
        made.add_row(*(_cell(row[name], name in key) for name in columns))
    return made


def _down(columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]], key: Sequence[str]) -> Table:
    made = table("column", "type", *(f"row {place}" for place, _ in enumerate(rows, 1)))
    for name, kind in columns.items():
        values = (_cell(row[name], name in key) for row in rows)
        made.add_row(Text(name, style="bold" if name in key else ""), Text(kind, style="dim"), *values)
    return made


def _cell(value: Any, is_key: bool) -> Text:
    if value is None:
        return Text("null", style="dim")
    if isinstance(value, float):
        said = f"{value:.6g}"
    elif isinstance(value, datetime):
        said = value.strftime("%Y-%m-%d %H:%M:%S") + (f".{value.microsecond // 1000:03}" if value.microsecond else "")
    elif isinstance(value, date):
        said = value.isoformat()
    elif isinstance(value, bool):
        said = str(value).lower()
    else:
        said = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        said = f"[{said}]" if isinstance(value, list) else said
    return Text(said if len(said) <= _LONGEST else said[: _LONGEST - 1] + "…", style="bold" if is_key else "")


def _is_number(kind: str) -> bool:
    return kind in ("INT64", "FLOAT64", "int64", "double")  # of a table and of a step


def _width(out: Console, shown: Table) -> int:
    options = out.options.update(width=10_000)
    return Measurement.get(out, options, shown).maximum
