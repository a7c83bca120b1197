"""Each shipped query answers the same rows on both engines, over the same simulated days."""

from __future__ import annotations

import gzip
import io
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsp_pipeline.events.decode import Decoder
from dsp_pipeline.events.lines import RawFile
from dsp_pipeline.events.schema import EVENTS, Event
from dsp_pipeline.events.source import load_source
from dsp_pipeline.platform import PACKAGE
from dsp_pipeline.simulator import Simulation, simulate
from dsp_pipeline.sql.catalog import Catalog
from dsp_pipeline.sql.query import Query
from dsp_pipeline.warehouse.base import Slice, Table, Warehouse
from tests.contracts.implementations import WAREHOUSES
from tests.contracts.rows import build, draft
from tests.sql.case import FEATURES, table_of

FIRST = date(2026, 11, 19)
DAY = FIRST + timedelta(days=1)
TABLES = Catalog(FEATURES).tables()
# All rows of a day come in few hours, since each costs the stand-in a load: an hour of the log → the hour it is put in.
HOURS = {0: {range(24): 12}, 1: {range(12): 0, range(12, 24): 23}}
LATER = {range(24): 20}
TIMES = {"bid": "ts", "win": "t", "impression": "ts", "click": "t", "conversion": "t"}


class Days:
    """Both warehouses with the same hours loaded, and their queries built as they are needed."""

    def __init__(self, warehouses: Sequence[Warehouse], hours: dict[str, dict[str, bytes]]) -> None:
        self.warehouses, self._hours = warehouses, hours
        for event, partitions in hours.items():
            table = table_of(FEATURES, event, "v1")
            for partition, parquet in partitions.items():
                for warehouse in warehouses:
                    warehouse.load(table, partition, [io.BytesIO(parquet)], draft(table, partition))
        self.ready: set[tuple[str, date]] = set()

    def built(self, table: Table, day: date) -> None:
        """The table's day in both, after what it reads."""
        if (table.name, day) in self.ready:
            return
        self.ready.add((table.name, day))
        assert isinstance(table.definition, Query)
        slices = {}
        for read in table.definition.reads:
            source = table.reads[read.table]
            days = [day + timedelta(days=n) for n in range(read.first, read.last + 1)]
            days = [one for one in days if one >= FIRST]
            if isinstance(source.definition, Event):
                of_days = {one.isoformat() for one in days}
                slices[read.table] = [hour for hour in sorted(self._hours[read.table]) if hour[:10] in of_days]
            else:
                for one in days:
                    self.built(source, one)
                slices[read.table] = [one.isoformat() for one in days]
        for warehouse in self.warehouses:
            build(warehouse, table, day, slices=slices)

    def answers(self, table: Table, day: date) -> list[pa.Table]:
        """The rows of the day, from each warehouse, in the order of the key."""
        assert isinstance(table.definition, Query)
        columns = ["date", *table.definition.columns]
        tables = []
        for warehouse in self.warehouses:
            batches = list(warehouse.read(Slice(table, (day.isoformat(),)), columns))
            order = [(name, "ascending") for name in table.key]
            tables.append(pa.Table.from_batches(batches).sort_by(order))
        return tables


@pytest.fixture(scope="module")
def hours(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """Parquet of each hour that holds rows, by event: decoded from simulated logs, with a few lines of our own."""
    folder = tmp_path_factory.mktemp("logs")
    simulation = Simulation(first=FIRST, days=3, impressions_per_day=300)
    simulate(simulation, folder, workers=1)
    source = load_source(PACKAGE / "events" / "sources", "simulator")
    decoder = Decoder(source, memory_limit_mb=200, threads=1)
    found: dict[str, dict[str, bytes]] = {}
    for event, lines in _with_mischief(_lines(folder)).items():
        found[event] = {}
        for hour, own in sorted(_by_hour(event, lines).items()):
            text = "".join(json.dumps(line) + "\n" for line in own).encode()
            file = RawFile("x", lambda text=text: io.BytesIO(gzip.compress(text)), {})  # type: ignore[misc]
            decoded = decoder.decode(event, hour, [file], folder)
            assert not decoded.rejected
            found[event][f"{hour:%Y-%m-%dT%H}"] = decoded.events.read_bytes()
    return found


def _lines(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """All simulated lines up to DAY, outcomes of the next day too, with their hour moved to one of the few."""
    lines: dict[str, list[dict[str, Any]]] = {event: [] for event in TIMES}
    for event, time in TIMES.items():
        for path in sorted((folder / event).rglob("*.gz")):
            for text in gzip.decompress(path.read_bytes()).splitlines():
                line = json.loads(text)
                at = _time(line[time])
                days = (at.date() - FIRST).days
                if event in ("bid", "impression") and at.date() > DAY:
                    continue
                hours = LATER if event in ("bid", "win", "conversion") else HOURS.get(days, LATER)
                at = at.replace(hour=next(to for those, to in hours.items() if at.hour in those))
                lines[event].append(line | {time: _written(event, at)})
    return lines


def _with_mischief(lines: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Stamped twice in two hours, clicked too late and too often, columns and lists that are absent or empty.

    And more clicks than there would be, of which every third converts.
    """
    shown = [line for line in lines["impression"] if _time(line["ts"]).date() == DAY and _time(line["ts"]).hour == 0]
    again, late, often, bare, untagged = shown[:5]
    lines["impression"].append(again | {"ts": _written("impression", _time(again["ts"]).replace(hour=23))})
    after = _time(late["ts"]) + timedelta(days=1, hours=20)
    clicks = [(late, after, "late"), (often, _time(often["ts"]), "c1"), (often, _time(often["ts"]), "c2")]
    lines["click"] += [{"id": name, "imp": line["id"], "t": _written("click", at)} for line, at, name in clicks]
    for number, line in enumerate(
        [line for line in lines["impression"] if _time(line["ts"]).hour == 12][:30] + shown[3:35]
    ):
        at = _time(line["ts"]) + timedelta(minutes=1)
        lines["click"].append({"id": f"more{number}", "imp": line["id"], "t": _written("click", at)})
        if number % 3 == 0:
            later = at.replace(hour=20) + timedelta(days=number % 2)
            lines["conversion"].append({"id": f"more{number}", "imp": line["id"], "t": _written("conversion", later)})
    for name in ("user", "slot", "ad", "price", "ex", "page", "rule"):
        bare.pop(name)
        lines["bid"][-1].pop(name)
    untagged["user"] = untagged["user"] | {"tags": []}
    return lines


def _by_hour(event: str, lines: Iterable[dict[str, Any]]) -> dict[datetime, list[dict[str, Any]]]:
    found = defaultdict(list)
    for line in lines:
        found[_time(line[TIMES[event]]).replace(minute=0, second=0, microsecond=0)].append(line)
    return found


def _time(written: str | int) -> datetime:
    if isinstance(written, int):
        return datetime.fromtimestamp(written / 1000, UTC)
    return datetime.fromisoformat(written).astimezone(UTC)


def _written(event: str, at: datetime) -> str | int:
    return at.isoformat() if TIMES[event] == "ts" else round(at.timestamp() * 1000)


def differences(one: pa.Table, other: pa.Table) -> list[str]:
    """What differs, in words: a type, the number of rows, a value; floats within 1e-9 are equal."""
    told = [
        f"{ours.name} is {ours.type} and {theirs.type}"
        for ours, theirs in zip(one.schema, other.schema, strict=True)
        if (ours.name, _plain(ours.type)) != (theirs.name, _plain(theirs.type))
    ]
    if one.num_rows != other.num_rows:
        return [*told, f"{one.num_rows} and {other.num_rows} rows"]
    for left, right in zip(one.to_pylist(), other.to_pylist(), strict=True):
        told += [
            f"{name} is {left[name]!r} and {right[name]!r} in {left}"
            for name in left
            if not _same(left[name], right[name])
        ]
    return told


def _plain(type_: pa.DataType) -> str:
    return f"list of {type_.value_type}" if pa.types.is_list(type_) else str(type_)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(one) and math.isnan(other))
    return bool(one == other)


def test_each_query_answers_the_same_on_both_engines(hours: dict[str, dict[str, bytes]], tmp_path: Path) -> None:
    """Row by row, sorted by key: types and values; floats to 1e-9. Every .sql file of features/ is found."""
    days = Days([make(tmp_path / name) for name, make in sorted(WAREHOUSES.items())], hours)
    told = {}
    models = ("click_rate", "conversion_rate", "win_rate")
    for name in sorted(TABLES, key=lambda name: name not in models):
        table = table_of(FEATURES, name, "v1")
        # What another has read already need not be built for one more day.
        day = max((day for built, day in days.ready if built == name), default=DAY)
        days.built(table, day)
        answers = days.answers(table, day)
        assert answers[0].num_rows, f"there is nothing to compare of {name}"
        told[name] = differences(*answers)
        if name in models:
            _assert_worth(name, answers[0].to_pylist())
    assert told == {name: [] for name in TABLES}


def _assert_worth(model: str, found: list[dict[str, Any]]) -> None:
    """The days hold what is hard: history, both labels, nulls and empty lists."""
    label, trailing, absent = WORTH[model]
    assert {row[label] for row in found} == {True, False}
    for name in trailing:
        assert len({row[name] for row in found} - {None}) > 3, name
    assert any(row[absent] is None for row in found)
    if model == "click_rate":
        assert any(row["user_impressions_1d"] > 0 for row in found)
        assert {0} < {row["segment_count"] for row in found}
        assert len({row["impression_id"] for row in found}) == len(found)


WORTH = {
    "click_rate": (
        "clicked",
        [f"{name}_click_rate_14d" for name in ("campaign", "creative", "placement", "site", "user", "combined")],
        "exchange",
    ),
    "conversion_rate": ("converted", ["campaign_conversion_rate_14d"], "advertiser_id"),
    "win_rate": ("won", ["placement_win_lift_7d"], "price_to_floor"),
}


def test_logs_hold_an_impression_stamped_twice(hours: dict[str, dict[str, bytes]]) -> None:
    """In two hours of a day; the days before have rows; clicks go on after the day."""
    ids = [
        set(pq.read_table(io.BytesIO(parquet), columns=["impression_id"]).column(0).to_pylist())
        for partition, parquet in hours["impression"].items()
        if partition.startswith(str(DAY))
    ]
    assert len(set.intersection(*ids)) == 1
    assert {partition[:10] for partition in hours["impression"]} == {str(FIRST), str(DAY)}
    assert max(hours["click"]) > f"{DAY}T23"
    assert set(EVENTS) == set(hours)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"k": ["a"], "x": [1.0 + 1e-12]}, []),
        ({"k": ["a"], "x": [1.0 + 1e-8]}, ["x is 1.0 and 1.00000001 in {'k': 'a', 'x': 1.0}"]),
        ({"k": ["a"], "x": [None]}, ["x is double and null", "x is 1.0 and None in {'k': 'a', 'x': 1.0}"]),
        ({"k": ["a"], "x": [1]}, ["x is double and int64"]),
        ({"k": ["b"], "x": [1.0]}, ["k is 'a' and 'b' in {'k': 'a', 'x': 1.0}"]),
        ({"k": ["a", "b"], "x": [1.0, 1.0]}, ["1 and 2 rows"]),
    ],
)
def test_a_difference_is_told(other: dict[str, list[Any]], words: list[str]) -> None:
    """Types, values and the number of rows count."""
    assert differences(pa.table({"k": ["a"], "x": [1.0]}), pa.table(other)) == words
