"""Two sets of rows against each other: what is counted, and what is taken for equal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from console.row_differences import Comparison, RowDifferences


def batches(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """Two rows each, as a reading comes in parts."""
    return iter(table.to_batches(max_chunksize=2))


def compare(folder: Path, a: pa.Table, b: pa.Table, key: Sequence[str] = ("id",)) -> RowDifferences:
    found = Comparison(folder, memory_limit_mb=100, threads=1).compare(batches(a), batches(b), key)
    other = folder / "reversed"
    other.mkdir()
    back = Comparison(other, memory_limit_mb=100, threads=1).compare(batches(b), batches(a), key)
    assert (back.only_a, back.only_b, back.changed, back.columns) == (
        found.only_b,
        found.only_a,
        found.changed,
        found.columns,
    )
    return found


def make_rows(**columns: Sequence[Any]) -> pa.Table:
    return pa.table({"id": ["a", "b", "c"], "clicks": [1, 2, 3], **columns})


def test_equal_rows_are_equal_in_any_order(tmp_path: Path) -> None:
    """Neither rows nor columns have an order."""
    rows = make_rows(rate=[0.5, None, float("nan")])
    found = compare(tmp_path, rows, rows.take([2, 0, 1]).select(["rate", "id", "clicks"]))
    assert found.equal
    assert (found.rows, found.common) == ((3, 3), 3)


def test_each_difference_is_counted_once(tmp_path: Path) -> None:
    """Keys of one side, rows and columns that differ, and a sample with both values, in the order of the key."""
    a = make_rows(rate=[0.5, 0.5, 0.5], name=["x", "y", None])
    b = pa.table(
        {"id": ["d", "c", "b"], "clicks": [4, 3, 20], "rate": [0.5, 0.75, 0.25], "name": ["x", "", "y"]},
    )
    found = compare(tmp_path, a, b)
    assert (found.only_a, found.few_only_a) == (1, [{"id": "a"}])
    assert (found.only_b, found.few_only_b) == (1, [{"id": "d"}])
    assert (found.common, found.changed) == (2, 2)
    assert found.columns == {"clicks": 1, "rate": 2, "name": 1}
    assert found.sample == [
        {"key": {"id": "b"}, "column": "clicks", "a": 2, "b": 20},
        {"key": {"id": "b"}, "column": "rate", "a": 0.5, "b": 0.25},
        {"key": {"id": "c"}, "column": "rate", "a": 0.5, "b": 0.75},
        {"key": {"id": "c"}, "column": "name", "a": None, "b": ""},
    ]
    assert not found.equal


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (0.1 + 0.2, 0.3, True),
        (1e12, 1e12 * (1 + 1e-10), True),
        (1.0, 1.0 + 1e-8, False),
        (0.0, -0.0, True),
        (0.0, 1e-300, False),
        (1e308, -1e308, False),
        (float("inf"), float("inf"), True),
        (float("inf"), 1e308, False),
        (float("inf"), float("-inf"), False),
        (float("nan"), float("nan"), True),
        (float("nan"), 1.0, False),
        (None, 0.0, False),
        (None, None, True),
    ],
)
def test_floats_are_equal_to_a_share(tmp_path: Path, a: float | None, b: float | None, equal: bool) -> None:
    """Sums of floats depend on the order of their parts; a null or an infinity is no number near another."""
    tables = [pa.table({"id": ["a"], "rate": pa.array([value], pa.float64())}) for value in (a, b)]
    assert compare(tmp_path, *tables).equal == equal


def test_other_columns_are_told_and_the_common_ones_compared(tmp_path: Path) -> None:
    """Columns of one side, and of another type: numbers are compared as such, the rest by their text."""
    a = make_rows(old=[1, 1, 1], count=[1, 2, 3], code=["1", "2", "3"])
    b = make_rows(new=["x", "x", "x"], count=[1.0, 2.0, 3.5], code=[1, 2, 4])
    found = compare(tmp_path, a, b)
    assert (found.added, found.removed) == ({"new": "string"}, {"old": "int64"})
    assert found.retyped == {"count": ("int64", "double"), "code": ("string", "int64")}
    assert found.columns == {"count": 1, "code": 1}


def test_keys_of_two_columns_with_nulls_find_each_other(tmp_path: Path) -> None:
    """A null is a value of a key like others; names may need quotes."""
    rows = pa.table({"user id": [None, "a", None], "select": [1, 1, 2], 'a"b': [1, 2, 3]})
    changed = rows.set_column(2, 'a"b', pa.array([1, 2, 4]))
    found = compare(tmp_path, rows, changed, ["user id", "select"])
    assert (found.common, found.changed, found.only_a) == (3, 1, 0)
    assert found.sample == [{"key": {"user id": None, "select": 2}, "column": 'a"b', "a": 3, "b": 4}]


def test_times_and_lists_are_values(tmp_path: Path) -> None:
    """As events have them."""
    at = [datetime(2026, 11, 21, 5, number, tzinfo=UTC) for number in range(3)]
    a = make_rows(at=at, codes=[["x"], [], ["x", "y"]])
    b = make_rows(at=[at[0], at[1], at[1]], codes=[["x"], [], ["y", "x"]])
    found = compare(tmp_path, a, b)
    assert found.columns == {"at": 1, "codes": 1}
    assert found.sample[0] == {"key": {"id": "c"}, "column": "at", "a": at[2], "b": at[1]}


def test_without_a_key_rows_are_compared_whole(tmp_path: Path) -> None:
    """As often as each is there; only by the columns that both have."""
    a = pa.table({"n": [1, 1, 2, 3], "old": [0, 0, 0, 0]})
    found = compare(tmp_path, a, pa.table({"n": [1, 3, 3, 4]}), ())
    assert (found.common, found.only_a, found.only_b) == (2, 2, 2)
    assert found.few_only_a == [{"n": 1}, {"n": 2}]
    assert found.few_only_b == [{"n": 3}, {"n": 4}]


def test_a_side_without_rows_has_no_other_columns(tmp_path: Path) -> None:
    """Its types are not known; all rows are the other's."""
    rows = make_rows()
    found = compare(tmp_path, rows, rows.slice(0, 0))
    assert (found.rows, found.only_a, found.only_b, found.common) == ((3, 0), 3, 0, 0)
    assert not found.retyped
    (tmp_path / "neither").mkdir()
    assert compare(tmp_path / "neither", rows.slice(0, 0), rows.slice(0, 0)).equal


def test_a_sample_is_short(tmp_path: Path) -> None:
    """Of many rows a few are shown, and all are counted."""
    ids = [f"{number:05}" for number in range(10_000)]
    a = pa.table({"id": ids, "n": range(10_000)})
    b = pa.table({"id": ids, "n": range(1, 10_001)})
    found = compare(tmp_path, a, b)
    assert found.changed == 10_000
    assert [one["key"]["id"] for one in found.sample] == ids[:5]
