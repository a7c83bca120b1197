"""Sources, raw lines and raw files made in memory, and a decoder for them."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from dsp_pipeline.events import decode
from dsp_pipeline.events.lines import RawFile
from dsp_pipeline.events.source import Source, load_source

HOUR = datetime(2026, 11, 21, 5, tzinfo=UTC)

JSON = """\
description: JSON lines of a test.
format: json
compression: none
timezone: UTC
nulls: [""]
events:
  impression:
    path: "imp/{hour:%Y%m%d%H}.jsonl"
    fields:
      impression_id: id
      served_at: {from: ts, time: iso}
      user_id: user.id
      segments: user.tags
      placement_position: position
      propensity: propensity
      bid_price_micros: {from: price, times: 10}
"""

COLUMNS = """\
description: Text columns of a test.
format: csv
compression: none
timezone: UTC
nulls: [""]
events:
  impression:
    path: "imp/{hour:%Y%m%d%H}.csv"
    fields:
      impression_id: id
      served_at: {from: ts, time: iso}
      user_id: user
      placement_position: position
"""


def make_source(folder: Path, text: str = JSON, **changes: str) -> Source:
    """The source of `text` after each `changes` key, a line of the text found by its first word, is replaced.

    `make_source(tmp_path, timezone="Asia/Tokyo", bid_price_micros="price")` changes two lines; an unknown word is a new
    field of the first event.
    """
    lines = text.splitlines()
    for word, value in changes.items():
        place = next((n for n, line in enumerate(lines) if line.strip().startswith(f"{word}:")), None)
        if place is None:
            place = next(n for n, line in enumerate(lines) if line.strip() == "fields:") + 1
            lines.insert(place, f"      {word}:")
        indent = lines[place][: len(lines[place]) - len(lines[place].lstrip())]
        lines[place] = f"{indent}{word}: {value}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "given.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return load_source(folder, "given")


def make_impression(**changes: Any) -> dict[str, Any]:
    """A good JSON line's content; a change to `...` leaves the field out."""
    line = {
        "id": "i1",
        "ts": "2026-11-21T05:10:00Z",
        "user": {"id": "u1", "tags": ["a", "b"]},
        "position": 1,
        "propensity": 0.25,
        "price": 101,
    }
    return {name: value for name, value in (line | changes).items() if value is not ...}


def raw_line(**changes: Any) -> str:
    return json.dumps(make_impression(**changes), ensure_ascii=False)


def raw_file(data: bytes | str | Sequence[str], key: str = "imp/2026112105.jsonl", **captures: str) -> RawFile:
    """A raw file of bytes, of text, or of lines."""
    if not isinstance(data, (bytes, str)):
        data = "".join(f"{line}\n" for line in data)
    content = data.encode() if isinstance(data, str) else data
    return RawFile(key, lambda: io.BytesIO(content), captures)


@dataclass
class Result:
    """What was decoded, read back."""

    decoded: decode.Decoded
    rows: list[dict[str, Any]]
    quarantine: list[dict[str, Any]]

    @property
    def rejected(self) -> dict[str, int]:
        return dict(self.decoded.rejected)

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]


def decode_files(
    source: Source, files: Sequence[RawFile], scratch: Path, event: str = "impression", hour: datetime = HOUR
) -> Result:
    scratch.mkdir(parents=True, exist_ok=True)
    decoder = decode.Decoder(source, memory_limit_mb=200, threads=1)
    return read_back(decoder.decode(event, hour, files, scratch))


def read_back(decoded: decode.Decoded) -> Result:
    rows = pq.ParquetFile(decoded.events).read().to_pylist()
    assert len(rows) == decoded.rows
    quarantine = []
    if decoded.quarantine is not None:
        with gzip.open(decoded.quarantine, "rt", encoding="utf-8") as lines:
            quarantine = [json.loads(line) for line in lines]
    assert len(quarantine) == decoded.rejected.total()
    return Result(decoded, rows, quarantine)
