"""How answers look: tables for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from dsp_pipeline.receipts import Receipt
from tasks.plan import count
from tasks.values import VALUE

_LONGEST = 28  # characters of a value that is shown

as_json: Callable[[Any], Any] = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


def console() -> Console:
    """Standard output; a pipe or file has no width of its own, so lines there are as long as they need to be."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(highlight=False, width=160)


def table(*columns: str, right: Iterable[str] = ()) -> Table:
    """A table without lines; the columns `right` hold numbers."""
    made = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in set(right) else "left", overflow="fold")
    return made


def tell_json(value: Any) -> None:
    """Write a value of plain data, dataclasses and times as JSON to standard output."""
    json.dump(value, sys.stdout, indent=1, default=_plain, allow_nan=False)
    sys.stdout.write("\n")


def number(value: float | None) -> str:
    return "?" if value is None else f"{value:,.0f}"


def holds_value(receipt: Receipt) -> bool:
    """Whether the output is a value, and no rows."""
    return any(is_value(file.key) for file in receipt.files)


def is_value(key: str) -> bool:
    """Whether the file at the key holds a value that a step gave back."""
    return key.endswith(f"/{VALUE}")


def amount(receipt: Receipt) -> str:
    """How much an output is: rows, or of a value that a step gave back its entries."""
    if holds_value(receipt):
        return f"{receipt.rows:,} {'entry' if receipt.rows == 1 else 'entries'}"
    return count(receipt.rows, "row")


def size(value: float | None) -> str:
    """Bytes in a unit that makes the number short."""
    if value is None:
        return "?"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:,.0f} {unit}" if unit == "B" or value >= 10 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def cell(value: Any) -> str:
    """A value in few characters."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00")
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="hours" if not (value.minute or value.second) else "milliseconds")
    if isinstance(value, date):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise TypeError(f"{value!r} has no form in JSON")
