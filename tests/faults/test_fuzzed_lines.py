"""A million lines, most of them not what they should be: none is lost, none counts twice, none harms another."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import random
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsp_pipeline.events.decode import Decoded, Decoder
from dsp_pipeline.events.lines import RawFile
from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.events.source import load_source
from dsp_pipeline.platform import PACKAGE
from dsp_pipeline.simulator import Simulation, simulate
from tests.e2e.folder import FIRST
from tests.faults.tally import FULL, SEED, Count

KINDS = ("bid", "win", "impression", "click", "conversion")
BATCH = 20_000  # lines of one hour
BATCHES = 10 if FULL else 1  # of each event
HOUR = datetime(FIRST.year, FIRST.month, FIRST.day, 5, tzinfo=UTC)
_KEYS = {"win": "bid"}  # the field of the simulator's lines that is the event's key; of all others `id`
_TIMES = {"bid": "ts", "impression": "ts"}  # that of its time, as ISO text; of all others `t`, in milliseconds
_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1e308, 2**63, -(2**63), 10**40, 0.1, "", " ", "null", "1e5", "\u0000", "𝔘", "\ud800"),
    *(
        [],
        {},
        [[]],
        {"a": {"b": []}},
        ["x"] * 50,
        "x" * 5_000,
        "'; DROP TABLE lines; --",
        "../../etc/passwd",
        "%s{0}$1",
    ),
)
_LAST_COMMA = re.compile(rb",(\s*[}\]])")
_TEXTS = (b"NaN", b"Infinity", b"-", b"0x1", b"1.", b"{}", b"[", b"]", b'"', b"\\", b"\\u12", b"\xff", b"\xc3", b"\x00")


@cache
def decoder() -> Decoder:
    return Decoder(load_source(PACKAGE / "events" / "sources", "simulator"), memory_limit_mb=300, threads=2)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Lines of a simulated day by event, parsed."""
    folder = tmp_path_factory.mktemp("simulated")
    simulate(Simulation(first=FIRST, days=2, impressions_per_day=1_000, seed=3), folder, workers=1)
    found: dict[str, list[dict[str, Any]]] = {}
    for event in KINDS:
        texts = [gzip.decompress(path.read_bytes()) for path in sorted((folder / event).rglob("*.gz"))]
        found[event] = [json.loads(line) for line in b"".join(texts).splitlines()[:4_000]]
    return found


def decoded(event: str, lines: list[bytes], scratch: Path) -> Decoded:
    text = gzip.compress(b"\n".join(lines) + b"\n", 1)
    file = RawFile(f"{event}/05-0.jsonl.gz", partial(io.BytesIO, text))
    return decoder().decode(event, HOUR, [file], scratch)


def quarantined(found: Decoded) -> list[dict[str, Any]]:
    if found.quarantine is None:
        return []
    with gzip.open(found.quarantine, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.mark.parametrize("event", KINDS)
def test_good_lines_are_kept_whatever_the_others_are(
    event: str, simulated: dict[str, list[dict[str, Any]]], tmp_path: Path, count: Count
) -> None:
    """Every line is a row, a reject with its reason and number, or a duplicate; and good rows are as they are alone."""
    key, draw = EVENTS[event].key, random.Random(f"{SEED} {event}")  # noqa: S311
    for batch in range(BATCHES):
        lines, good = [], []
        for number in range(BATCH):
            line = _line(event, draw.choice(simulated[event]), f"{batch}-{number}-{draw.getrandbits(64):x}", draw)
            if draw.random() < 0.3:
                good.append(line)
            else:
                line = _mutated(line, draw)
            lines.append(line)
        lines[0] = lines[0].removeprefix(codecs.BOM_UTF8)  # it is no part of a line there
        alone = pq.read_table(decoded(event, good, tmp_path).events)
        assert alone.num_rows == len(good)
        found = decoded(event, lines, tmp_path)
        told = [line for line in lines if line and not line.isspace()]
        rejects, table = quarantined(found), pq.read_table(found.events)
        assert found.lines == len(told)
        assert found.rows + found.duplicates + found.rejected.total() == len(told)
        assert found.rows == table.num_rows
        assert found.rejected.total() == len(rejects)
        assert len({one["line_number"] for one in rejects}) == len(rejects)
        for one in rejects:
            text = lines[one["line_number"] - 1]
            assert one["line"] in (
                text.decode("utf-8", "backslashreplace"),
                text.decode("utf-8", "replace").rstrip("\r"),
            )
            assert one["reason"].partition(":")[0] in _REASONS, one
        keys = table.column(key).to_pylist()
        assert len(set(keys)) == len(keys)
        rejected = {one["line_number"] for one in rejects}
        readable = {key for number, line in enumerate(lines, 1) if number not in rejected for key in _keys(event, line)}
        assert set(keys) <= readable, sorted(set(keys) - readable)[:5]
        wanted = set(alone.column(key).to_pylist())
        kept = table.filter([one in wanted for one in keys])
        assert kept.equals(alone)
        count("fuzzed lines", len(lines))


_REASONS = {"malformed", "not_utf8", "too_long", "missing", "wrong_type", "outside_hour"}


@settings(
    max_examples=400 if FULL else 40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(lines=st.lists(st.binary(max_size=60).map(lambda line: line.replace(b"\n", b"")), min_size=1, max_size=200))
def test_lines_of_any_bytes_are_counted(lines: list[bytes], count: Count, tmp_path: Path) -> None:
    """Nothing that stands in a file raises an error, or is a row."""
    found = decoded("click", lines, tmp_path)
    told = [line for line in lines if line and not line.isspace()]
    assert found.rows == 0
    assert found.lines == found.rejected.total() == len(told)
    assert len(quarantined(found)) == len(told)
    count("fuzzed lines", len(lines))


def _line(event: str, like: dict[str, Any], key: str, draw: random.Random) -> bytes:
    """A good line of the hour, with a key of its own."""
    at = HOUR + timedelta(milliseconds=draw.randrange(3_600_000))
    time = {"ts": at.isoformat()} if event in _TIMES else {"t": int(at.timestamp() * 1000)}
    return json.dumps({**like, _KEYS.get(event, "id"): key, **time}, ensure_ascii=draw.random() < 0.5).encode()


def _keys(event: str, line: bytes) -> set[str]:
    """What a reader of JSON finds as the key, as it would be stored: each value, if it stands twice.

    DuckDB's reader allows a comma after the last value, which says nothing, and this one does too.
    """
    field = _KEYS.get(event, "id")
    for text in (line, _LAST_COMMA.sub(rb"\1", line)):
        try:
            pairs = json.loads(
                text, parse_constant=_Written, parse_int=_Written, parse_float=_Written, object_pairs_hook=_Pairs
            )
        except (ValueError, RecursionError):
            continue
        return (
            {text for name, value in pairs if name == field for text in _stored(value)}
            if isinstance(pairs, _Pairs)
            else set()
        )
    return set()


class _Written(str):
    """A number as it is written."""


class _Pairs(tuple[tuple[str, Any], ...]):
    """An object as it is written."""


def _stored(value: Any) -> set[str]:
    if isinstance(value, bool):
        return {str(value).lower()}
    return {value, repr(float(value))} if isinstance(value, _Written) else {value} if isinstance(value, str) else set()


def _mutated(line: bytes, draw: random.Random) -> bytes:
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        line = draw.choice(_MUTATIONS)(line, draw)
    return line.replace(b"\n", b" ")


def _value(line: bytes, draw: random.Random) -> bytes:
    """Another value somewhere."""
    try:
        found = json.loads(line)
        place = found
        while True:
            key = draw.choice(list(place))
            if not isinstance(place[key], dict) or not place[key] or draw.random() < 0.2:
                break
            place = place[key]
        if draw.random() < 0.3:
            del place[key]
        else:
            place[key] = draw.choice(_VALUES)
        return json.dumps(found).encode()
    except (ValueError, TypeError, IndexError, AttributeError, KeyError, RecursionError):
        return line[::-1]


def _at(line: bytes, draw: random.Random) -> int:
    return draw.randrange(len(line) + 1)


def _flip(line: bytes, draw: random.Random) -> bytes:
    at = _at(line, draw)
    return line[:at] + draw.randbytes(1) + line[at + 1 :]


def _without(line: bytes, draw: random.Random) -> bytes:
    at = _at(line, draw)
    return line[:at] + line[at + draw.randrange(1, 30) :]


def _twice(line: bytes, draw: random.Random) -> bytes:
    at = _at(line, draw)
    return line[: at + draw.randrange(1, 30)] + line[at:]


def _inserted(line: bytes, draw: random.Random) -> bytes:
    at = _at(line, draw)
    return line[:at] + draw.choice(_TEXTS) + line[at:]


def _cut(line: bytes, draw: random.Random) -> bytes:
    return line[: _at(line, draw)]


def _nested(line: bytes, draw: random.Random) -> bytes:
    depth = draw.choice((5, 100, 2_000))
    return b'{"a":' * depth + line + b"}" * (depth - draw.randrange(2))


def _joined(line: bytes, draw: random.Random) -> bytes:
    return draw.choice((line + line, line + b"\r", b"\xef\xbb\xbf" + line, b"[" + line + b"]", b"  " + line + b" "))


_MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_value, _value, _value, _value, _flip, _without, _twice, _inserted, _cut, _nested, _joined),
)
