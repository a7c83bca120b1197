"""Which features moved the score from one trained model to another, and where, on rows that both can score."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from console.printing import cell, number, table
from console.references import Reference, table_of_version
from dsp_pipeline.errors import DspError
from dsp_pipeline.registry.manifest import FEATURES, METRICS, MODEL
from tasks.settings import platform

if TYPE_CHECKING:
    from dsp_pipeline.explained import Side
    from dsp_pipeline.training.score_moves import FeatureMove, ScoreChange, ScoreMoves

_SHOWN = 8  # features, and slices
_TELLING = 0.005  # log odds: what moved by less is not shown


def score_differences(a: Reference, b: Reference, scratch: Path) -> ScoreMoves | str:
    """Of two models, on the newest day up to B's held-out day that both of their tables have; or why there is none."""
    from dsp_pipeline.explained import compare

    first, second = _side(a, scratch), _side(b, scratch)
    days = [set(platform().warehouse.receipts(side.table)) for side in (first, second)]
    common = max((day for day in days[0] & days[1] if day <= b.partition), default=None)
    if common is None:
        return f"no day of {first.table.name} and {second.table.name} is there in both versions"
    columns = dict.fromkeys(str(one["column"]) for one in read_json(b, METRICS).get("slices", []))
    try:
        return compare(platform().warehouse, first, second, common, list(columns))
    except DspError as error:
        return str(error).rstrip(".")


def read_json(reference: Reference, file: str) -> Any:
    """A file of an output that holds JSON."""
    with platform().outputs.open(reference.receipt, file) as stream:
        return json.load(stream)


def _side(reference: Reference, scratch: Path) -> Side:
    from dsp_pipeline.explained import Side
    from dsp_pipeline.registry.scorer import Scorer

    contract = read_json(reference, FEATURES)
    with platform().outputs.open(reference.receipt, MODEL) as stream:
        scorer = Scorer(stream.read(), contract, str(reference))
    return Side(scorer, contract, table_of_version(contract["table"], contract["table_version"], scratch))


def tell(out: Console, moves: ScoreMoves | str) -> None:
    """Print which features moved the score, and whose scores moved most."""
    if isinstance(moves, str):
        out.print(f"What moved the score is not known: {moves}.", soft_wrap=True, markup=False)
        return
    out.print(
        f"On {number(moves.rows)} rows the mean score goes from {moves.before:.4%} to {moves.after:.4%}.",
        soft_wrap=True,
    )
    moved = [one for one in moves.features if one.moved >= _TELLING]
    if not moved:
        out.print("No feature moves it by more than half a percent.")
        return
    shown = table(
        "feature", "moves the odds by", "on average", "most where it is", right=("moves the odds by", "on average")
    )
    for one in moved[:_SHOWN]:
        shown.add_row(Text(one.feature), _factor(one.moved, "×/÷"), _factor(one.mean), Text(_places(one)))
    out.print(shown)
    changed = [(f"tenth {one.value} by score in A", one) for one in moves.deciles]
    changed += [(f"{column} = {cell(one.value)}", one) for column, found in moves.slices.items() for one in found]
    scores = table("rows", "how many", "score by A", "by B", "B / A", right=("how many", "score by A", "by B", "B / A"))
    for name, change in sorted(changed, key=lambda pair: -_weight(pair[1]))[:_SHOWN]:
        ratio = f"{change.after / change.before:.3f}"
        scores.add_row(Text(name), number(change.rows), f"{change.before:.4%}", f"{change.after:.4%}", ratio)
    out.print(scores)


def _places(move: FeatureMove) -> str:
    return ", ".join(f"{'missing' if one.value is None else one.value} ({_factor(one.mean)})" for one in move.places)


def _factor(log_odds: float, sign: str = "×") -> str:
    return f"{sign}{math.exp(log_odds):.3f}"


def _weight(change: ScoreChange) -> float:
    """How much these rows' scores moved in all."""
    return abs(change.after - change.before) * change.rows
