"""What is known for and against serving a bundle, and what was decided about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from dsp_pipeline.registry.decisions import Decision, keep, kept
from dsp_pipeline.registry.gate import decide, read_bounds
from dsp_pipeline.registry.manifest import Identity
from dsp_pipeline.registry.pointer import Pointer
from dsp_pipeline.training.trial import SEED, Trial
from tasks.settings import platform
from tasks.train_model import SCORES

if TYPE_CHECKING:
    import pyarrow as pa

MOST_DAYS = 7  # that a challenger and the champion are compared on: the newest ones that both were judged on
_LOOKED_AT = 20  # decisions, newest first, among which that about a bundle is looked for


def decided(trial: Trial, candidate: Identity, address: str, current: Pointer | None) -> Decision:
    """Whether the bundle at `address` may take the place of the one that is pointed at; the decision is kept.

    The champion and a challenger are compared on days that both were judged on, all others on the bundle's own.
    """
    from dsp_pipeline.training.compare import evidence

    one, model = platform(), trial.model
    moves = None
    champion = None if current is None else champion_of(model.name, current)
    days, rival = [candidate.date], None
    if current is not None and champion is not None and is_rival(candidate, champion):
        common = sorted(_judged_days(candidate) & _judged_days(champion))[-MOST_DAYS:]
        rival = [_scores(champion, day) for day in common] or None
        days = common or days
        moves = _moves(trial, candidate.date, current, address)
    found = evidence(
        [_scores(candidate, day) for day in days],
        key=trial.table.key,
        slices=model.slices,
        seed=SEED,
        champion=rival,
    )
    decision = decide(
        candidate,
        champion,
        {**found, "bundle": address, "judged_on": [day.isoformat() for day in days], "moves": moves},
        read_bounds(trial.experiment.gate),
        environment=one.settings.environment,
        at=datetime.now(UTC),
    )
    keep(one.store, decision)
    return decision


def is_refused(model: str, address: str) -> bool:
    """Whether it was decided that this bundle is not served in our environment."""
    one = platform()
    for decision in kept(one.store, one.settings.environment, model, most=_LOOKED_AT):
        if decision.numbers.get("bundle") == address:
            return not decision.accepted
    return False


def is_rival(candidate: Identity, champion: Identity) -> bool:
    """Whether the champion is another arm, or was made otherwise."""
    return replace(candidate, date=champion.date) != champion


def champion_of(model: str, pointer: Pointer) -> Identity:
    return Identity(model, pointer.experiment, pointer.arm, pointer.version, pointer.date)


def _moves(trial: Trial, day: date, current: Pointer, address: str) -> dict[str, Any] | None:
    """Which features would move the score, and where; None if the champion's table has no rows of the day."""
    from dsp_pipeline.explained import Side, compare

    one, partition = platform(), day.isoformat()
    with one.scratch() as scratch:
        champion, candidate = (
            one.registry.fetch(place, scratch / place.rpartition("/")[2]) for place in (current.address, address)
        )
        table = replace(trial.table, version=champion.features["table_version"])
        if champion.features["table"] != table.name or partition not in one.warehouse.receipts(table):
            return None
        sides = Side(champion.scorer, champion.features, table), Side(candidate.scorer, candidate.features, trial.table)
        return compare(one.warehouse, sides[0], sides[1], partition, trial.model.slices).as_dict()


def _shelf(one: Identity) -> str:
    return f"train/{one.experiment}/{one.arm}/{one.version}/"


def _judged_days(one: Identity) -> set[date]:
    """The held-out days of which the scores are there."""
    shelf = _shelf(one)
    return {date.fromisoformat(address[len(shelf) :]) for address in platform().outputs.receipts.addresses(shelf)}


def _scores(one: Identity, day: date) -> pa.Table:
    import pyarrow.parquet as pq

    outputs = platform().outputs
    with outputs.open(outputs.receipts.read(f"{_shelf(one)}{day.isoformat()}"), SCORES) as stream:
        return pq.read_table(stream)
