"""Rows of the warehouse, explained by what a bundle holds: what bidders load is what is explained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dsp_pipeline.errors import DspError
from dsp_pipeline.warehouse.base import Slice, Table, Warehouse
from dsp_pipeline.warehouse.sampling import Sampling

if TYPE_CHECKING:  # all are slow to import, and what plans a graph needs none of them
    import pyarrow as pa

    from dsp_pipeline.registry.scorer import Scorer
    from dsp_pipeline.training.score_moves import Explained, ScoreMoves
    from dsp_pipeline.training.score_parts import ScoreParts

ROWS = 2_000  # that two models are compared on
_NAMED = 3  # days that a message names


@dataclass(frozen=True)
class Row:
    """A row of a table's partition; `values` is a table of this one row."""

    table: Table
    partition: str
    values: pa.Table


@dataclass(frozen=True)
class Side:
    """A model as a bundle holds it (its scorer, its features.json) and the table that its features are columns of."""

    scorer: Scorer
    contract: Mapping[str, Any]
    table: Table

    @property
    def columns(self) -> list[str]:
        return list(self.scorer.names)

    @property
    def words(self) -> dict[str, Sequence[str]]:
        return {one["name"]: one["words"] for one in self.contract["features"] if "words" in one}


def find_row(warehouse: Warehouse, table: Table, partitions: Sequence[str], key: str, columns: Sequence[str]) -> Row:
    """The row with that key, from the first of the partitions that has it; a key of several columns has commas.

    Each partition is read whole, key and `columns` alone. DspError, with what to try, if none has it.
    """
    texts = [key] if len(table.key) == 1 else key.split(",")
    if len(texts) != len(table.key):
        raise DspError(f"{key!r} is no key of {table.name}; give {', '.join(table.key)}, with commas between.")
    for partition in partitions:
        found = _row(warehouse, Slice(table, (partition,)), dict(zip(table.key, texts, strict=True)), columns)
        if found is not None:
            return Row(table, partition, found)
    named = ", ".join(partitions[:_NAMED]) + (" …" if partitions[_NAMED:] else "")
    raise DspError(
        f"no row of {table.name} has {', '.join(table.key)} = {key} on {named or 'any day'}; give the day that it is "
        f"of, if it is another, and look at keys with `dsp show {table.name}`."
    )


def explain_row(model: str, side: Side, metrics: Mapping[str, Any], row: Row) -> ScoreParts:
    """The row's score in parts, compared with the share of positives of the held-out day that `metrics` tells of.

    BundleError if the row lacks a column that the bundle's contract asks for.
    """
    from dsp_pipeline.training.score_parts import score_parts

    held_out = metrics.get("holdout") or {}
    average = held_out["positives"] / held_out["rows"] if held_out.get("rows") else None
    matrix = side.scorer.matrix(row.values)
    return score_parts(
        side.scorer.booster,
        matrix,
        model=model,
        calibrate=side.scorer.calibration.apply,
        words=side.words,
        average=average,
    )


def compare(warehouse: Warehouse, first: Side, second: Side, partition: str, columns: Sequence[str] = ()) -> ScoreMoves:
    """Which features moved the score from the first model to the second, on about 2,000 rows of a day that both have.

    Rows are drawn by their key, so each model sees them as its own version of the table has them. `columns` of the
    second's table are those whose slices are told. DspError if there is no row that both have.
    """
    from dsp_pipeline.training.score_moves import score_moves

    wanted = list(dict.fromkeys([*second.columns, *columns]))
    if first.table.address == second.table.address:
        old = new = _sample(warehouse, second.table, partition, list(dict.fromkeys([*first.columns, *wanted])))
    elif first.table.name != second.table.name or first.table.key != second.table.key:
        raise DspError(f"rows of {first.table.name} and of {second.table.name} are not the same rows.")
    else:
        old = _sample(warehouse, first.table, partition, first.columns)
        new = _sample(warehouse, second.table, partition, wanted)
        old, new = _common(old, new, first.table.key)
    if not new.num_rows:
        raise DspError(f"the two versions of {first.table.name} have no row in common on {partition}.")
    return score_moves(
        _explained(first, old), _explained(second, new), {name: new[name].to_pylist() for name in columns}
    )


def _explained(side: Side, rows: pa.Table) -> Explained:
    from dsp_pipeline.training.score_moves import Explained

    scorer = side.scorer
    return Explained(scorer.booster, scorer.matrix(rows), scorer.calibration.apply, side.words)


def _row(warehouse: Warehouse, slice_: Slice, key: Mapping[str, str], columns: Sequence[str]) -> pa.Table | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    for batch in warehouse.read(slice_, list(dict.fromkeys([*key, *columns]))):
        for name, text in key.items():
            batch = batch.filter(pc.equal(batch.column(name).cast(pa.string()), text))
        if batch.num_rows:
            return pa.Table.from_batches([batch]).slice(0, 1)
    return None


def _sample(warehouse: Warehouse, table: Table, partition: str, columns: Sequence[str]) -> pa.Table:
    import pyarrow as pa

    rows = warehouse.receipts(table)[partition].rows
    sampling = Sampling(min(1.0, ROWS / max(rows, 1)), table.key)
    names = list(dict.fromkeys([*table.key, *columns]))
    found = list(warehouse.read(Slice(table, (partition,)), names, sampling))
    return pa.Table.from_batches(found) if found else pa.table({name: pa.nulls(0) for name in names})


def _common(first: pa.Table, second: pa.Table, key: Sequence[str]) -> tuple[pa.Table, pa.Table]:
    """The rows whose key both have; both come in the order of the key."""
    import pyarrow as pa
    import pyarrow.compute as pc

    keys = [
        pc.binary_join_element_wise(*(rows[name].cast(pa.string()) for name in key), "|").combine_chunks()
        for rows in (first, second)
    ]
    return first.filter(pc.is_in(keys[0], keys[1])), second.filter(pc.is_in(keys[1], keys[0]))
