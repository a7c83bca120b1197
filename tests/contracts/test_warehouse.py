"""What every Warehouse promises."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dsp_pipeline.errors import DspError, NotFoundError, PartitionError, WarehouseError
from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.warehouse.base import Slice, Table, Warehouse
from tests.contracts.implementations import WAREHOUSES
from tests.contracts.rows import (
    CLICK,
    DAY,
    HOUR,
    IMPRESSION,
    PARTITION,
    build,
    draft,
    load,
    make_click,
    make_clicks,
    parquet,
    parquet_of,
    query_table,
    read,
)


@pytest.fixture(params=sorted(WAREHOUSES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "it's a [lake]*?" / "date=2000-01-01"


@pytest.fixture
def warehouse(name: str, root: Path) -> Warehouse:
    return WAREHOUSES[name](root)


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["click_id"] for row in rows]


VALUES: dict[str, Any] = {
    "text": "é🎉 'quoted'\n",
    "integer": -(2**63),
    "float": 0.1,
    "time": HOUR + timedelta(microseconds=3_599_999_999),
    "texts": ["a", "", "b"],
    "floats": [1.5, -0.0],
}


def test_every_type_of_value_is_read_as_it_was_loaded(warehouse: Warehouse) -> None:
    """Texts, integers, floats, times to the microsecond, lists; and their absence."""
    columns = EVENTS["impression"].columns
    full = {column.name: VALUES[column.type] for column in columns}
    bare = {column.name: [] if column.type in ("texts", "floats") else None for column in columns}
    bare |= {"impression_id": "z", "served_at": HOUR}
    receipt = load(warehouse, [full, bare], table=IMPRESSION)
    assert receipt.rows == 2
    assert sorted(read(warehouse, IMPRESSION), key=lambda row: str(row["impression_id"])) == sorted(
        [bare, full], key=lambda row: str(row["impression_id"])
    )


def test_types_are_those_of_the_event_whatever_the_rows(warehouse: Warehouse) -> None:
    """A column of nulls has its type."""
    bare = {column.name: None for column in EVENTS["impression"].columns}
    load(warehouse, [bare | {"impression_id": "z", "served_at": HOUR}], table=IMPRESSION)
    names = ["user_id", "placement_width", "propensity", "served_at", "segments", "affinities"]
    (batch,) = warehouse.read(Slice(IMPRESSION, (PARTITION,)), names)
    assert [str(field.type).replace("list<l:", "list<element:") for field in batch.schema] == [
        "string",
        "int64",
        "double",
        "timestamp[us, tz=UTC]",
        "list<element: string>",
        "list<element: double>",
    ]


def test_several_files_fill_one_partition(warehouse: Warehouse) -> None:
    """All rows of all files."""
    files = [parquet([make_click(1)]), parquet([]), parquet([make_click(0)])]
    assert warehouse.load(CLICK, PARTITION, files, draft(CLICK, PARTITION)).rows == 2
    assert sorted(ids(read(warehouse, CLICK))) == ["c000000", "c000001"]


def test_a_load_leaves_a_receipt(warehouse: Warehouse) -> None:
    """It is returned, and found by its table; it tells address, version, rows and size."""
    receipt = load(warehouse, make_clicks(3))
    assert warehouse.receipts(CLICK) == {PARTITION: receipt}
    assert (receipt.address, receipt.version, receipt.rows) == (f"click_v1/{PARTITION}", "v1", 3)
    assert receipt.size > 0


def test_loaded_twice_is_loaded_once(warehouse: Warehouse) -> None:
    """The second load of a complete partition changes nothing and gets the first one's receipt."""
    first = load(warehouse, make_clicks(3))
    assert load(warehouse, make_clicks(5)) == first
    assert len(read(warehouse, CLICK)) == 3


def test_the_same_rows_have_the_same_digest(warehouse: Warehouse) -> None:
    """Whoever loads them and when; other rows have another."""
    first = load(warehouse, make_clicks(3))
    again = load(warehouse, make_clicks(3), replace=True)
    other = load(warehouse, make_clicks(4), replace=True)
    assert first.digest == again.digest != other.digest


def test_a_partition_is_replaced_as_a_whole(warehouse: Warehouse) -> None:
    """With `replace` the new rows are all that there is; other partitions stay."""
    later = HOUR + timedelta(hours=1)
    load(warehouse, make_clicks(3))
    load(warehouse, [make_click(7, clicked_at=later)], "2026-11-21T06")
    receipt = load(warehouse, [make_click(9)], replace=True)
    assert warehouse.receipts(CLICK)[PARTITION] == receipt
    assert ids(read(warehouse, CLICK)) == ["c000009"]
    assert ids(read(warehouse, CLICK, ["2026-11-21T06"])) == ["c000007"]


@pytest.mark.parametrize("files", [0, 1])
def test_an_hour_without_rows_is_complete(warehouse: Warehouse, files: int) -> None:
    """It has a receipt of 0 rows, and can be read and built from."""
    receipt = warehouse.load(CLICK, PARTITION, [parquet([])] * files, draft(CLICK, PARTITION))
    assert receipt.rows == 0
    assert warehouse.receipts(CLICK)[PARTITION].rows == 0
    assert read(warehouse, CLICK) == []


@pytest.mark.parametrize(
    "at", [HOUR - timedelta(microseconds=1), HOUR + timedelta(hours=1), HOUR - timedelta(days=365)], ids=str
)
def test_a_row_of_another_hour_is_refused(warehouse: Warehouse, root: Path, at: datetime) -> None:
    """The sentence names the time and the hour; nothing is there afterwards, and what was there stays."""
    rows = [*make_clicks(3), make_click(9, clicked_at=at)]
    for old in (0, 2):
        with pytest.raises(
            PartitionError, match=f"a row of {at} among those of the hour {PARTITION}".replace("+", ".")
        ):
            load(warehouse, rows, replace=True)
        assert [receipt.rows for receipt in warehouse.receipts(CLICK).values()] == ([old] if old else [])
        load(warehouse, make_clicks(2))
    assert len(read(warehouse, CLICK)) == 2


def test_the_first_and_the_last_microsecond_belong_to_the_hour(warehouse: Warehouse) -> None:
    """The hour is [05:00, 06:00)."""
    last = HOUR + timedelta(hours=1, microseconds=-1)
    load(warehouse, [make_click(0, clicked_at=HOUR), make_click(1, clicked_at=last)])
    assert [row["clicked_at"] for row in read(warehouse, CLICK)] == [HOUR, last]


def unfit(kind: str) -> io.BytesIO:
    good = pa.Table.from_pylist(make_clicks(3))
    match kind:
        case "missing":
            return parquet_of(good.drop_columns(["impression_id"]))
        case "type":
            return parquet_of(good.set_column(2, "clicked_at", pa.array(["a", "b", "c"])))
        case "list":
            return parquet_of(good.set_column(2, "clicked_at", pa.array([[1], [2], [3]])))
        case "null":
            return parquet_of(good.set_column(1, "impression_id", pa.nulls(3, pa.string())))
        case "no time":
            return parquet_of(good.set_column(2, "clicked_at", pa.nulls(3, pa.timestamp("us", tz="UTC"))))
        case "cut off":
            return io.BytesIO(parquet_of(good).getvalue()[:-9])
        case "empty":
            return io.BytesIO(b"")
        case _:
            return io.BytesIO(b"no Parquet at all, but long enough")


@pytest.mark.parametrize("kind", ["missing", "type", "list", "null", "no time", "cut off", "empty", "text"])
def test_a_file_that_does_not_fit_is_refused(warehouse: Warehouse, kind: str) -> None:
    """In one sentence, with the table, the hour and the cure; the old rows are still there."""
    load(warehouse, make_clicks(2))
    with pytest.raises(WarehouseError, match=r"^click_v1/2026-11-21T05 cannot be loaded: .*ingest the hour again\.$"):
        warehouse.load(CLICK, PARTITION, [parquet([]), unfit(kind)], draft(CLICK, PARTITION), replace=True)
    assert len(read(warehouse, CLICK)) == 2


def test_columns_that_the_event_has_not_are_left_out(warehouse: Warehouse) -> None:
    """And the order of a file's columns does not matter."""
    rows = pa.Table.from_pylist([{"more": 1, **dict(reversed(make_click().items()))}])
    warehouse.load(CLICK, PARTITION, [parquet_of(rows)], draft(CLICK, PARTITION))
    assert read(warehouse, CLICK) == [make_click()]


class Interrupted(io.BytesIO):
    """A file at whose first read something else happens."""

    def __init__(self, content: bytes, act: Any) -> None:
        super().__init__(content)
        self.act = act

    def read(self, size: int | None = -1, /) -> bytes:
        act, self.act = self.act, lambda: None
        act()
        return super().read(size)


def test_the_loser_of_a_race_gets_the_winners_receipt(warehouse: Warehouse, name: str, root: Path) -> None:
    """A writer begins, another finishes meanwhile: who finishes first has won, and nothing of the other is left."""
    winners = []

    def overtake() -> None:
        winners.append(load(WAREHOUSES[name](root), make_clicks(3)))

    slow = Interrupted(parquet(make_clicks(5)).getvalue(), overtake)
    receipt = warehouse.load(CLICK, PARTITION, [slow], draft(CLICK, PARTITION))
    assert [receipt] == winners
    assert receipt.rows == len(read(warehouse, CLICK)) == 3
    if name == "DuckDBWarehouse":
        assert len(list(root.rglob("*.parquet"))) == 1


def test_of_many_writers_all_get_the_same_receipt(name: str, root: Path) -> None:
    """Six connections load and build the same partitions at once."""
    table = query_table(root.parent, "copy", "SELECT c.click_id, c.impression_id FROM click AS c")
    barrier = threading.Barrier(6)

    def write(number: int) -> tuple[str, str]:
        mine = WAREHOUSES[name](root)
        barrier.wait()
        loaded = load(mine, make_clicks(10 + number))
        built = build(mine, table, slices={"click": [PARTITION]})
        assert built.rows == loaded.rows
        return loaded.files[0].sha256, built.created_at

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(write, range(6)))) == 1


def test_a_reader_sees_the_old_rows_or_the_new(warehouse: Warehouse, name: str, root: Path) -> None:
    """While a partition is replaced again and again, each read gives one writer's rows, all of them."""
    load(warehouse, make_clicks(500, impression_id="0"))
    done = threading.Event()

    def write() -> None:
        mine = WAREHOUSES[name](root)
        for n in range(15):
            load(mine, make_clicks(500 + n, impression_id=str(n)), replace=True)
        done.set()

    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(write)
        while not written.done():
            seen = [row["impression_id"] for row in read(warehouse, CLICK)]
            assert seen == [seen[0]] * (500 + int(seen[0]))
        written.result()
    assert len(read(warehouse, CLICK)) == 514


def test_a_read_that_has_begun_goes_on_with_the_old_rows(warehouse: Warehouse) -> None:
    """Though the partitions that it has not come to yet are replaced meanwhile."""
    other = "2026-11-21T06"
    late = [make_click(9, clicked_at=HOUR + timedelta(hours=1))]
    load(warehouse, make_clicks(3))
    load(warehouse, late, other)
    batches = warehouse.read(Slice(CLICK, (PARTITION, other)), ["click_id"])
    first = next(batches)
    load(warehouse, [], replace=True)
    load(warehouse, [], other, replace=True)
    rest = [batch.num_rows for batch in batches]
    assert first.num_rows + sum(rest) == 4
    assert read(warehouse, CLICK, [PARTITION, other]) == []


def test_rows_come_in_the_order_of_partitions_and_keys(warehouse: Warehouse, tmp_path: Path) -> None:
    """The caller's order of partitions, then the key of a query's table; not the order of its inputs."""
    later = [make_click(n, clicked_at=HOUR + timedelta(hours=1)) for n in (5, 1)]
    load(warehouse, [make_click(n) for n in (9, 3, 4)])
    load(warehouse, later, "2026-11-21T06")
    table = query_table(tmp_path, "copy", "SELECT c.click_id FROM click AS c")
    build(warehouse, table, slices={"click": [PARTITION]})
    build(warehouse, table, date(2026, 11, 20), slices={"click": ["2026-11-21T06"]})
    assert ids(read(warehouse, table, ["2026-11-20", "2026-11-21"])) == [
        *("c000001", "c000005"),
        *("c000003", "c000004", "c000009"),
    ]


def test_a_large_partition_comes_in_several_batches(warehouse: Warehouse, tmp_path: Path) -> None:
    """So that memory is flat; still in order."""
    load(warehouse, list(reversed(make_clicks(150_000))))
    table = query_table(tmp_path, "copy", "SELECT c.click_id FROM click AS c")
    build(warehouse, table, slices={"click": [PARTITION]})
    batches = list(warehouse.read(Slice(table, ("2026-11-21",)), ["click_id"]))
    assert len(batches) > 1
    read_ids = [value for batch in batches for value in batch.column(0).to_pylist()]
    assert read_ids == [f"c{n:06}" for n in range(150_000)]


def test_only_the_columns_that_are_asked_for_are_read(warehouse: Warehouse) -> None:
    """In the order in which they are asked for."""
    load(warehouse, make_clicks(1))
    assert [list(row) for row in read(warehouse, CLICK, columns=["clicked_at", "click_id"])] == [
        ["clicked_at", "click_id"]
    ]


def test_a_column_that_is_not_there_is_an_error(warehouse: Warehouse) -> None:
    """That names the table and the column."""
    load(warehouse, make_clicks(1))
    with pytest.raises(WarehouseError, match=r"click cannot be read: .*nope"):
        read(warehouse, CLICK, columns=["nope"])


def test_a_partition_that_is_not_complete_is_not_found(warehouse: Warehouse, tmp_path: Path) -> None:
    """Neither to read nor to build from, though others of the slice are there."""
    load(warehouse, make_clicks(1))
    with pytest.raises(NotFoundError, match="click_v1/2026-11-21T06 is not complete"):
        read(warehouse, CLICK, [PARTITION, "2026-11-21T06"])
    table = query_table(tmp_path, "copy", "SELECT c.click_id FROM click AS c")
    with pytest.raises(NotFoundError, match="click_v1/2026-11-21T06 is not complete"):
        build(warehouse, table, slices={"click": [PARTITION, "2026-11-21T06"]})
    assert warehouse.receipts(table) == {}


def test_the_receipts_of_many_partitions_come_at_once(warehouse: Warehouse) -> None:
    """Those of this table and version only."""
    hours = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(30)]
    partitions = [f"{hour:%Y-%m-%dT%H}" for hour in hours]
    for partition in partitions:
        load(warehouse, [], partition)
    load(warehouse, [], table=Table("click", "v10", EVENTS["click"]))
    load(warehouse, [], table=IMPRESSION)
    found = warehouse.receipts(CLICK)
    assert sorted(found) == partitions
    assert all(receipt.address == f"click_v1/{partition}" for partition, receipt in found.items())


def test_a_table_without_partitions_has_no_receipts(warehouse: Warehouse) -> None:
    """And that is no error."""
    assert warehouse.receipts(CLICK) == {}


def test_a_dropped_partition_is_gone(warehouse: Warehouse) -> None:
    """It may be dropped twice, and loaded again; its neighbours stay."""
    load(warehouse, make_clicks(2))
    load(warehouse, [], "2026-11-21T06")
    for _ in range(2):
        warehouse.drop(CLICK, PARTITION)
    assert list(warehouse.receipts(CLICK)) == ["2026-11-21T06"]
    with pytest.raises(NotFoundError):
        read(warehouse, CLICK)
    assert load(warehouse, make_clicks(3)).rows == len(read(warehouse, CLICK)) == 3


TYPED = """
SELECT
  c.click_id,
  1 AS whole,
  0.5 AS share,
  c.impression_id = 'i1' AS flag,
  DATE(c.clicked_at) AS day,
  @date AS built_for,
  c.clicked_at,
  CAST(NULL AS STRING) AS nothing
FROM click AS c
"""


def test_every_type_of_a_query_is_read_as_it_was_built(warehouse: Warehouse, tmp_path: Path) -> None:
    """With the column `date`, the day that was built, before the query's own."""
    load(warehouse, make_clicks(2))
    table = query_table(tmp_path, "typed", TYPED)
    receipt = build(warehouse, table, slices={"click": [PARTITION]})
    assert receipt.rows == 2
    assert warehouse.receipts(table) == {"2026-11-21": receipt}
    assert read(warehouse, table, ["2026-11-21"])[1] == {
        "date": DAY,
        "click_id": "c000001",
        "whole": 1,
        "share": 0.5,
        "flag": True,
        "day": DAY,
        "built_for": DAY,
        "clicked_at": HOUR + timedelta(seconds=1),
        "nothing": None,
    }


def test_built_twice_is_built_once_unless_replaced(warehouse: Warehouse, tmp_path: Path) -> None:
    """As with load."""
    load(warehouse, make_clicks(2))
    table = query_table(tmp_path, "copy", "SELECT c.click_id FROM click AS c")
    first = build(warehouse, table, slices={"click": [PARTITION]})
    assert build(warehouse, table) == first
    assert build(warehouse, table, replace=True).rows == 0
    assert read(warehouse, table, ["2026-11-21"]) == []


def test_a_query_sees_the_declared_partitions_and_no_others(warehouse: Warehouse, tmp_path: Path) -> None:
    """Though more of the table is there, and another version of it."""
    for n, partition in enumerate(["2026-11-21T04", "2026-11-21T05", "2026-11-21T06"]):
        load(warehouse, [make_click(n, clicked_at=HOUR + timedelta(hours=n - 1))], partition)
    load(warehouse, make_clicks(9), table=Table("click", "v2", EVENTS["click"]))
    table = query_table(tmp_path, "copy", "SELECT c.click_id FROM click AS c")
    build(warehouse, table, slices={"click": ["2026-11-21T04", "2026-11-21T06"]})
    assert ids(read(warehouse, table, ["2026-11-21"])) == ["c000000", "c000002"]


def test_an_empty_slice_of_an_event_has_its_columns(warehouse: Warehouse, tmp_path: Path) -> None:
    """A query over no hour at all answers no rows, or those of its other tables."""
    load(warehouse, make_clicks(1))
    body = """
SELECT c.click_id, i.placement_width + 1 AS width, i.served_at, ARRAY_LENGTH(i.segments) AS segments
FROM click AS c LEFT JOIN impression AS i ON i.impression_id = c.impression_id
"""
    table = query_table(tmp_path, "joined", body, [CLICK, IMPRESSION])
    build(warehouse, table, slices={"click": [PARTITION]})
    assert read(warehouse, table, ["2026-11-21"], ["click_id", "width", "served_at", "segments"]) == [
        {"click_id": "c000000", "width": None, "served_at": None, "segments": None}
    ]
    assert build(warehouse, table, date(2026, 11, 22)).rows == 0


HISTORY = """
SELECT
  c.impression_id,
  COUNT(*) AS clicks,
  SAFE_DIVIDE(COUNT(*), 2) AS share,
  MIN(c.clicked_at) AS first_at,
  MAX(TIMESTAMP_DIFF(c.clicked_at, TIMESTAMP '2026-11-21 00:00:00+00', SECOND)) AS seconds,
  MOD(FARM_FINGERPRINT(c.impression_id), 8) AS bucket,
  MAX(EXTRACT(DAYOFWEEK FROM @date)) AS weekday,
  DATE_DIFF(@date, DATE '2026-11-01', DAY) AS days
FROM click AS c
GROUP BY c.impression_id
"""
OVER_HISTORY = """
SELECT c.click_id, h.clicks, h.share, h.first_at, h.seconds, h.bucket, h.weekday, h.days, h.date AS day
FROM click AS c LEFT JOIN history AS h ON h.impression_id = c.impression_id
"""


def test_an_empty_slice_of_a_query_table_has_its_columns(warehouse: Warehouse, tmp_path: Path) -> None:
    """Of the very types that they have when there are rows, for types must not depend on the day."""
    history = query_table(tmp_path, "history", HISTORY, key="impression_id")
    over = query_table(tmp_path, "over", OVER_HISTORY, [CLICK, history])
    load(warehouse, make_clicks(2))
    build(warehouse, over, date(2026, 11, 20), slices={"click": [PARTITION]})
    build(warehouse, history, slices={"click": [PARTITION]})
    build(warehouse, over, slices={"click": [PARTITION], "history": ["2026-11-21"]})
    columns = ["click_id", "clicks", "share", "first_at", "seconds", "bucket", "weekday", "days", "day"]
    (without,) = warehouse.read(Slice(over, ("2026-11-20",)), columns)
    (with_rows,) = warehouse.read(Slice(over, ("2026-11-21",)), columns)
    assert without.schema == with_rows.schema
    assert without.to_pylist()[0] == dict.fromkeys(columns) | {"click_id": "c000000"}
    assert with_rows.to_pylist()[1]["seconds"] == 5 * 3600 + 1
    assert with_rows.to_pylist()[1]["day"] == DAY


def test_two_rows_of_one_key_are_refused(warehouse: Warehouse, tmp_path: Path) -> None:
    """The sentence names the key's value and how often it stands; the old partition stays."""
    load(warehouse, make_clicks(2))
    table = query_table(tmp_path, "doubled", "SELECT c.impression_id, 1 AS n FROM click AS c", key="impression_id, n")
    build(warehouse, table, slices={"click": [PARTITION]})
    later = "2026-11-21T06"
    load(
        warehouse, [make_click(n, impression_id="it's", clicked_at=HOUR + timedelta(hours=1)) for n in range(3)], later
    )
    with pytest.raises(WarehouseError, match=r'doubled of 2026-11-21 has 3 rows with impression_id="it.s", n=1: .*key'):
        build(warehouse, table, slices={"click": [PARTITION, later]}, replace=True)
    assert len(read(warehouse, table, ["2026-11-21"])) == 2


def test_two_rows_without_a_key_are_the_same_key(warehouse: Warehouse, tmp_path: Path) -> None:
    """NULL names a row no better than any other doubled value."""
    load(warehouse, make_clicks(2))
    table = query_table(tmp_path, "keyless", "SELECT NULLIF(c.click_id, c.click_id) AS k FROM click AS c", key="k")
    with pytest.raises(WarehouseError, match="2 rows with k=None"):
        build(warehouse, table, slices={"click": [PARTITION]})


def test_a_query_that_fails_says_why_in_one_line(warehouse: Warehouse, tmp_path: Path) -> None:
    """Table, day and the engine's first line; nothing is there afterwards."""
    load(warehouse, make_clicks(2))
    table = query_table(tmp_path, "failing", "SELECT c.click_id, CAST(c.click_id AS INT64) AS number FROM click AS c")
    with pytest.raises(WarehouseError, match=r"^failing of 2026-11-21 cannot be built: .*c00000") as caught:
        build(warehouse, table, slices={"click": [PARTITION]})
    assert "\n" not in str(caught.value)
    assert warehouse.receipts(table) == {}


def test_a_query_that_names_an_unknown_column_fails(warehouse: Warehouse, tmp_path: Path) -> None:
    """With the column's name."""
    table = query_table(tmp_path, "failing", "SELECT c.click_id, c.nope FROM click AS c")
    with pytest.raises(WarehouseError, match="nope"):
        build(warehouse, table)


def test_an_embedded_warehouse_leaves_nothing_aside_after_failures(tmp_path: Path) -> None:
    """Neither loads nor builds that fail leave a file, in place or aside."""
    root = tmp_path / "warehouse"
    warehouse = WAREHOUSES["DuckDBWarehouse"](root)
    load(warehouse, make_clicks(2))
    before = {path for path in root.rglob("*") if path.is_file()}
    failing = query_table(tmp_path, "failing", "SELECT CAST(c.click_id AS INT64) AS k FROM click AS c", key="k")
    doubled = query_table(tmp_path, "doubled", "SELECT 1 AS k FROM click AS c", key="k")
    acts: list[Any] = [
        lambda: build(warehouse, failing, slices={"click": [PARTITION]}),
        lambda: build(warehouse, doubled, slices={"click": [PARTITION]}),
        lambda: load(warehouse, [make_click(clicked_at=HOUR - timedelta(hours=1))], "2026-11-21T06"),
        lambda: warehouse.load(CLICK, "2026-11-21T06", [unfit("text")], draft(CLICK, "2026-11-21T06")),
        lambda: warehouse.load(CLICK, "2026-11-21T06", [unfit("list")], draft(CLICK, "2026-11-21T06")),
    ]
    for act in acts:
        with pytest.raises(WarehouseError):
            act()
    load(warehouse, make_clicks(4))
    after = {path for path in root.rglob("*") if path.is_file()}
    assert {path.name for path in after - before} <= {"lock"}


def test_an_embedded_warehouse_that_cannot_be_written_names_the_folder(tmp_path: Path) -> None:
    """And the setting, whether it is all of it or only the place of a partition."""
    (tmp_path / "file").write_text("")
    with pytest.raises(
        DspError, match=f"{tmp_path}/file/.aside cannot be written: .*give .dsp. lake a folder that you"
    ):
        load(WAREHOUSES["DuckDBWarehouse"](tmp_path / "file"), [])
    root = tmp_path / "warehouse"
    root.mkdir()
    (root / "tables").write_text("")
    with pytest.raises(DspError, match=f"{root}/tables/click_v1/.* cannot be written: .*give .dsp. lake a folder"):
        load(WAREHOUSES["DuckDBWarehouse"](root), [])
    assert list((root / ".aside").iterdir()) == []


def test_a_damaged_file_of_an_embedded_warehouse_is_named(tmp_path: Path) -> None:
    """A receipt stands, but its file was removed or cut by somebody."""
    warehouse = WAREHOUSES["DuckDBWarehouse"](tmp_path)
    load(warehouse, make_clicks(2))
    (file,) = tmp_path.glob("tables/**/*.parquet")
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(WarehouseError, match="click cannot be read: "):
        read(warehouse, CLICK)
    file.unlink()
    with pytest.raises(WarehouseError, match=f"click cannot be read: .*{file.name}"):
        read(warehouse, CLICK)
