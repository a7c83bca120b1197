"""Reads the raw logs by the words of the layout alone, with nothing of the simulator's own code."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

Row = dict[str, Any]

TIMES = {"bid": "ts", "win": "t", "impression": "ts", "click": "t", "conversion": "t"}
TEXTS = {
    "bid": {"bid_id": "id", "user_id": "user.id", "campaign_id": "ad.cmp"},
    "win": {"bid_id": "bid"},
    "impression": {"impression_id": "id", "bid_id": "bid", "user_id": "user.id"},
    "click": {"click_id": "id", "impression_id": "imp"},
    "conversion": {"conversion_id": "id", "impression_id": "imp", "click_id": "clk"},
}
NUMBERS = {
    "bid": {"bid_price_micros": "price.bid", "predicted_click_rate": "pctr", "placement_position": "slot.pos"},
    "win": {"clearing_price_micros": "paid"},
    "impression": {
        "bid_price_micros": "price.bid",
        "clearing_price_micros": "price.paid",
        "predicted_click_rate": "pctr",
        "placement_position": "slot.pos",
    },
    "click": {},
    "conversion": {"value_micros": "worth.fen"},
}
TIME_COLUMNS = {
    "bid": "bid_at", "win": "won_at", "impression": "served_at", "click": "clicked_at", "conversion": "converted_at"
}  # fmt: skip


def lines_of(path: Path) -> list[bytes]:
    """The lines of one file, without their newlines."""
    text = gzip.decompress(path.read_bytes())
    assert text == b"" or text.endswith(b"\n")
    return text.split(b"\n")[:-1]


def files_of(out: Path, event: str, hour: datetime, number: str = "*") -> list[Path]:
    """The files of an hour of an event that are in place."""
    return sorted((out / event / f"{hour:%Y-%m-%d}").glob(f"{hour:%H}-{number}.jsonl.gz"))


def rows_of(out: Path, event: str) -> Iterator[Row]:
    """All rows of an event; the log has no faults."""
    for path in sorted((out / event).glob("*/*.jsonl.gz")):
        for line in lines_of(path):
            yield json.loads(line)


def contents(out: Path) -> dict[str, bytes]:
    """Every file of a folder by its path in it."""
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def ms_of(event: str, row: Row) -> int:
    """The event's time as epoch milliseconds; an exception when it is none."""
    value = row[TIMES[event]]
    if event in ("bid", "impression"):
        at = datetime.fromisoformat(value)
        assert at.tzinfo is not None
        return round(at.timestamp() * 1000)
    assert isinstance(value, int)
    return value


def judge(event: str, lines: list[bytes]) -> tuple[int, Counter[str]]:
    """Count the good lines, and the others by the reason for which an ingest rejects them."""
    good, reasons, seen = 0, Counter[str](), set[bytes]()
    for line in lines:
        reason = _reason(event, line)
        if reason is None and line in seen:
            reason = "duplicates"
        if reason is None:
            good += 1
            seen.add(line)
        else:
            reasons[reason] += 1
    return good, reasons


def at_path(row: Row, path: str) -> Any:
    """The value at a path of dots; None when a step is missing."""
    for name in path.split("."):
        row = row.get(name)  # type: ignore[assignment]  # the last step gives a value
        if row is None:
            return None
    return row


def _reason(event: str, line: bytes) -> str | None:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return "not_utf8"
    try:
        row = json.loads(text)
    except ValueError:
        return "malformed"
    if not isinstance(row, dict):
        return "malformed"
    if row.get(TIMES[event]) in (None, ""):
        return f"missing:{TIME_COLUMNS[event]}"
    try:
        ms_of(event, row)
    except (ValueError, TypeError, AssertionError):
        return f"wrong_type:{TIME_COLUMNS[event]}"
    for column, path in TEXTS[event].items():
        value = at_path(row, path)
        if value in (None, ""):
            return f"missing:{column}"
        if not isinstance(value, str):
            return f"wrong_type:{column}"
    for column, path in NUMBERS[event].items():
        if not isinstance(at_path(row, path), int | float):
            return f"wrong_type:{column}"
    return None
