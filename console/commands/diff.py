"""dsp diff: two versions of a table, a model or a step against each other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.text import Text

from console import score_differences
from console.printing import as_json, cell, console, number, table, tell_json
from console.references import MODEL, Reference, resolve
from console.row_differences import Comparison, RowDifferences
from console.version_differences import VersionDifference, version_differences
from dsp_pipeline.errors import DspError
from dsp_pipeline.registry.manifest import METRICS
from tasks.settings import platform
from tasks.values import VALUE

if TYPE_CHECKING:
    from dsp_pipeline.training.score_moves import ScoreMoves

_LINES = 30  # of a file's differences that are shown
_FEATURES = 8  # whose place changed most


@dataclass(frozen=True)
class ModelDifferences:
    """`metrics` are those of the held-out day. `moved` are features with their places by gain, 1 for the largest, the
    one that moved farthest first. `scores` tells which features moved the score and where, or why that is not known."""

    rows: tuple[int, int]
    positives: tuple[int, int]
    metrics: dict[str, tuple[float | None, float | None]]
    moved: dict[str, tuple[int | None, int | None]]
    scores: ScoreMoves | str


@dataclass(frozen=True)
class ValueDifference:
    """What a step gave that is no rows."""

    a: Any
    b: Any


@click.command(short_help="Two versions of a table or a model: what makes them differ, and what differs.")
@click.argument("a")
@click.argument("b")
@as_json
def command(a: str, b: str, as_json: bool) -> None:
    """Compare two versions: what makes them differ, and the rows or the metrics that do.

    A and B are written NAME/DAY, which is what this checkout makes, or NAME@VERSION/DAY, where VERSION is at least the
    first 4 digits of a version on record. NAME is a table, an event (then DAY is an hour, as 2026-11-21T05), a step, or
    EXPERIMENT/ARM. Floats are equal to a share of 1e-9.
    """
    with platform().scratch() as scratch:
        first, second = resolve(a, scratch), resolve(b, scratch)
        whys = version_differences(platform(), first.version, second.version)
        found = _compare(first, second, scratch)
    if as_json:
        tell_json({"a": str(first), "b": str(second), "versions": whys, "found": found})
        return
    out = console()
    _tell_whys(out, first, second, whys)
    if isinstance(found, RowDifferences):
        _tell_rows(out, found)
    elif isinstance(found, ModelDifferences):
        _tell_model(out, found)
    else:
        _plain(out, f"A: {json.dumps(found.a, ensure_ascii=False)}", f"B: {json.dumps(found.b, ensure_ascii=False)}")


def _compare(a: Reference, b: Reference, scratch: Path) -> RowDifferences | ModelDifferences | ValueDifference:
    if a.kind == b.kind == MODEL:
        before, after = (score_differences.read_json(one, METRICS) for one in (a, b))
        return model_differences(before, after, score_differences.score_differences(a, b, scratch))
    if MODEL in (a.kind, b.kind) or a.has_rows != b.has_rows:
        raise DspError(f"{a} and {b} are things of two kinds; compare tables with tables, and models with models.")
    if not a.has_rows:
        return ValueDifference(*(score_differences.read_json(one, VALUE) for one in (a, b)))
    settings = platform().settings
    comparison = Comparison(scratch, memory_limit_mb=settings.memory_limit_mb, threads=settings.threads)
    return comparison.compare(a.batches(), b.batches(), a.key if a.key == b.key else ())


def model_differences(a: Mapping[str, Any], b: Mapping[str, Any], scores: ScoreMoves | str) -> ModelDifferences:
    """Of two reports of training, and what is known of how the scores moved."""
    metrics = {
        name: (a["holdout"].get(name), b["holdout"].get(name)) for name in dict.fromkeys([*a["holdout"], *b["holdout"]])
    }
    places = [_places(report["gain"]) for report in (a, b)]
    last = max(map(len, places)) + 1  # of a feature that one of the two does not have
    pairs = {name: (places[0].get(name), places[1].get(name)) for name in dict.fromkeys([*places[0], *places[1]])}
    moved = sorted(pairs, key=lambda name: -abs((pairs[name][0] or last) - (pairs[name][1] or last)))
    return ModelDifferences(
        (a["data"]["train"]["rows"], b["data"]["train"]["rows"]),
        (a["data"]["train"]["positives"], b["data"]["train"]["positives"]),
        metrics,
        {name: pairs[name] for name in moved if pairs[name][0] != pairs[name][1]},
        scores,
    )


def _places(gain: Mapping[str, float]) -> dict[str, int]:
    return {name: place for place, name in enumerate(sorted(gain, key=lambda name: -gain[name]), start=1)}


def _tell_whys(out: Console, a: Reference, b: Reference, whys: Iterable[VersionDifference]) -> None:
    for side, one in (("A", a), ("B", b)):
        made = one.receipt.created_at[:16].replace("T", " ")
        revision = one.receipt.revision[:12] or "unknown"
        _plain(out, f"{side}: {one}, {number(one.receipt.rows)} rows, made {made} UTC by revision {revision}")
    if a.version.name == b.version.name:
        _plain(out, "Both are of one version.")
    for why in whys:
        _plain(out, f"{why.of} {why.a} → {why.b}: {'; '.join(why.what)}")
        for file, lines in why.files.items():
            _plain(out, f"  {file}", *(f"    {line}" for line in lines[:_LINES]))
            if lines[_LINES:]:
                _plain(out, f"    … {len(lines) - _LINES} more lines")


def _tell_rows(out: Console, found: RowDifferences) -> None:
    for name, type_ in found.added.items():
        _plain(out, f"Column {name} ({type_}) is only in B.")
    for name, type_ in found.removed.items():
        _plain(out, f"Column {name} ({type_}) is only in A.")
    for name, (old, new) in found.retyped.items():
        _plain(out, f"Column {name} is {old} in A and {new} in B.")
    _plain(out, f"Rows: {number(found.rows[0])} in A, {number(found.rows[1])} in B.")
    what = f"keys ({', '.join(found.key)})" if found.key else "rows (no key is known that both have)"
    for side, count, few in (("A", found.only_a, found.few_only_a), ("B", found.only_b, found.few_only_b)):
        if count:
            shown = "; ".join(", ".join(f"{name} {cell(value)}" for name, value in row.items()) for row in few)
            _plain(out, f"Only in {side}: {number(count)} {what}: {shown}{' …' if count > len(few) else ''}")
    if found.equal:
        _plain(out, "All rows are equal.")
    elif found.changed:
        _plain(out, f"Of {number(found.common)} rows with a key in both, {number(found.changed)} differ:")
        counts = table("column", "rows that differ", "share", right=("rows that differ", "share"))
        for name, rows in sorted(found.columns.items(), key=lambda pair: -pair[1]):
            counts.add_row(name, number(rows), f"{rows / found.common:.2%}")
        out.print(counts)
        sample = table("key", "column", "A", "B", right=("A", "B"))
        for one in found.sample:
            key = ", ".join(map(cell, one["key"].values()))
            sample.add_row(*map(Text, (key, one["column"], cell(one["a"]), cell(one["b"]))))
        out.print(sample)
    elif found.common:
        _plain(out, f"The {number(found.common)} rows that both have are equal in the columns that both have.")


def _tell_model(out: Console, found: ModelDifferences) -> None:
    shown = table("", "A", "B", "B - A", right=("A", "B", "B - A"))
    for name, pair in (("training rows", found.rows), ("training positives", found.positives)):
        shown.add_row(name, number(pair[0]), number(pair[1]), f"{pair[1] - pair[0]:+,}")
    for name, (a, b) in found.metrics.items():
        change = "" if a is None or b is None else f"{b - a:+.6g}"
        shown.add_row(f"held-out {name.replace('_', ' ')}", _metric(a), _metric(b), change)
    out.print(shown)
    _tell_places(out, found)
    score_differences.tell(out, found.scores)


def _tell_places(out: Console, found: ModelDifferences) -> None:
    if not found.moved:
        _plain(out, "The features have the same order by gain.")
        return
    moved = table("feature", "place by gain in A", "in B", right=("place by gain in A", "in B"))
    for name, (a_place, b_place) in list(found.moved.items())[:_FEATURES]:
        moved.add_row(name, cell(a_place), cell(b_place))
    out.print(moved)


def _metric(value: float | None) -> str:
    return f"{value:,}" if isinstance(value, int) else cell(value)


def _plain(out: Console, *lines: str) -> None:
    """As they stand: what is in square brackets is no markup."""
    for line in lines:
        out.print(line, soft_wrap=True, markup=False)
