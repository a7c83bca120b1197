"""Whether a bundle may be served: decided by numbers of matured days, the same way for everybody, and kept.

- The **first** model of an environment must not be worse than its baseline (a logistic regression) nor than the share
  of positives of the very rows it is judged on.
- A **refresh**, the same experiment, arm and version on a newer day, must not be worse than its baseline.
- A **challenger**, any other bundle, must be better than the champion on the same rows.

All must be calibrated, as a bid is price times probability: overall, and in every slice that is big enough to matter.

Every number has an interval of 95 % by users, and the interval decides. A bound is broken when the whole interval lies
beyond it, so few clicks refuse nothing by chance; a challenger is better when the whole interval says so, so few clicks
replace nothing by chance either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from dsp_pipeline.registry.decisions import Check, Decision
from dsp_pipeline.registry.manifest import Identity
from dsp_pipeline.yamlfile import Block

FIRST, REFRESH, CHALLENGER = "first", "refresh", "challenger"
# Of fewer, a bootstrap of users says little: then a challenger is not better, and a first model is not worse.
MIN_POSITIVES = 10
_SHARE = "a number above 0 and below 1"


@dataclass(frozen=True)
class Bounds:
    """What a served bundle keeps.

    `calibration`: how far predicted / observed may lie from 1; an interval knows what users do by chance, not that days
    differ, so no closer than days do. `slice_calibration`: the same in a slice; slices are many, and some are off.
    `slice_positives`: how many positives, observed or predicted, make a slice big.
    `above_baseline`: by which share of its log loss a first model or a refresh may be above the baseline.
    """

    calibration: float = 0.05
    slice_calibration: float = 0.2
    slice_positives: int = 200
    above_baseline: float = 0.0


def read_bounds(block: Block | None) -> Bounds:
    """The bounds of an experiment's `gate:`; what it leaves out is as in Bounds. Wrong values name file and line."""
    if block is None:
        return Bounds()
    default = Bounds()
    block.allow(tuple(asdict(default)))
    found: dict[str, Any] = {}
    for key in ("calibration", "slice_calibration"):
        found[key] = _number(block, key, _SHARE, getattr(default, key))
        if not 0 < found[key] < 1:
            raise block.problem(f"`{key}` is {found[key]}; it is {_SHARE}.", key)
    what = "a number from 0 and below 1"
    found["above_baseline"] = _number(block, "above_baseline", what, default.above_baseline)
    if not 0 <= found["above_baseline"] < 1:
        raise block.problem(f"`above_baseline` is {found['above_baseline']}; it is {what}.", "above_baseline")
    what = "a whole number of positives, at least 1"
    found["slice_positives"] = block.get_as("slice_positives", int, what, default.slice_positives)
    if found["slice_positives"] < 1:
        raise block.problem(f"`slice_positives` is {found['slice_positives']}; it is {what}.", "slice_positives")
    return Bounds(**found)


def decide(
    candidate: Identity,
    champion: Identity | None,
    evidence: Mapping[str, Any],
    bounds: Bounds,
    *,
    environment: str,
    at: datetime,
) -> Decision:
    """Whether `candidate` may take the place of `champion`, which is None where nothing is served yet.

    `evidence` is what training/compare.py's `evidence` gives, of days whose labels are complete.
    """
    kind = _kind(candidate, champion)
    checks = [*_rivals(kind, evidence, bounds), _overall(evidence, bounds), *_slices(evidence, bounds)]
    return Decision(
        environment=environment,
        model=candidate.model,
        decided_at=at.isoformat(timespec="milliseconds"),
        kind=kind,
        accepted=all(check.passed for check in checks),
        candidate=_name(candidate),
        champion=None if champion is None else _name(champion),
        checks=tuple(checks),
        numbers={
            **evidence,
            "slices": [one for one in evidence["slices"] if _is_big(one, bounds)],
            "bounds": asdict(bounds),
        },
    )


def _kind(candidate: Identity, champion: Identity | None) -> str:
    if champion is None:
        return FIRST
    same = all(getattr(candidate, part) == getattr(champion, part) for part in ("experiment", "arm", "version"))
    return REFRESH if same else CHALLENGER


def _name(one: Identity) -> str:
    return "/".join((one.experiment, one.arm, one.version, one.date.isoformat()))


def _rivals(kind: str, evidence: Mapping[str, Any], bounds: Bounds) -> Iterator[Check]:
    against = evidence["against"]
    if kind == CHALLENGER:
        yield _better(against["champion"])
        return
    yield _not_worse("baseline", against["baseline"], bounds.above_baseline)
    if kind == FIRST:
        yield _not_worse("base rate", against["base_rate"], 0.0)


def _better(found: Mapping[str, Any] | None) -> Check:
    name = "log loss against the champion"
    if found is None:
        return Check(name, False, "The champion has no scores of these days, so nothing shows that this is better.")
    loss = found["log_loss"]
    told = _difference(found, "champion", "common rows")
    if found["positives"] < MIN_POSITIVES:
        reason = f"{told}, with {found['positives']} positives: too few to tell; judge it on more days."
        return Check(name, False, reason, **loss)
    if loss["high"] < 0:
        return Check(name, True, f"{told}: better beyond noise.", **loss)
    verdict = "worse beyond noise" if loss["low"] > 0 else "not better beyond noise"
    return Check(name, False, f"{told}: {verdict}.", **loss)


def _not_worse(rival: str, found: Mapping[str, Any], allowed: float) -> Check:
    loss = found["log_loss"]
    bound = allowed * found["rival"]["log_loss"]
    told = _difference(found, rival, "rows")
    if found["positives"] < MIN_POSITIVES:
        reason = f"{told}, with {found['positives']} positives: too few to tell."
        return Check(f"log loss against the {rival}", True, reason, **loss)
    if loss["low"] > bound:
        verdict = f"worse beyond noise{f' and the {allowed:.1%} allowed' if allowed else ''}"
    elif loss["high"] < 0:
        verdict = "better beyond noise"
    else:
        verdict = f"not shown to be better, nor to be worse{f' than the {allowed:.1%} allowed' if allowed else ''}"
    return Check(f"log loss against the {rival}", not loss["low"] > bound, f"{told}: {verdict}.", **loss)


def _difference(found: Mapping[str, Any], name: str, rows: str) -> str:
    loss, rival = found["log_loss"], found["rival"]["log_loss"]
    share = f" ({abs(loss['value']) / rival:.2%})" if rival else ""
    return (
        f"Log loss {found['model']['log_loss']:.6f} is {abs(loss['value']):.6f}{share} "
        f"{'above' if loss['value'] > 0 else 'below'} the {name}'s "
        f"(95 %: {loss['low']:+.6f} to {loss['high']:+.6f}) on {found['rows']:,} {rows}"
    )


def _overall(evidence: Mapping[str, Any], bounds: Bounds) -> Check:
    found = evidence["predicted_to_observed"]
    passed, told = _calibrated(found["value"], found["low"], found["high"], bounds.calibration)
    reason = f"Predicted/observed {told}."
    return Check("predicted/observed", passed, reason, found["value"], found["low"], found["high"])


def _slices(evidence: Mapping[str, Any], bounds: Bounds) -> list[Check]:
    """One check for each slice that is off; one for all where none is."""
    big = [one for one in evidence["slices"] if _is_big(one, bounds)]
    off = []
    for one in big:
        value, low, high = one["predicted_to_observed"], one["low"], one["high"]
        passed, told = _calibrated(value, low, high, bounds.slice_calibration)
        if not passed:
            name = f"{one['column']} = {one['value']}"
            reason = f"{name}: predicted/observed {told}, with {one['positives']:,} positives in {one['rows']:,} rows."
            off.append(Check(name, False, reason, value, low, high))
    if off:
        return off
    if not evidence["slices"]:
        return [Check("slices", True, "The model names no slices to be judged by.")]
    least, most = 1 - bounds.slice_calibration, 1 + bounds.slice_calibration
    told = f"{len(big)} of {len(evidence['slices'])} slices have {bounds.slice_positives:,} positives or more"
    return [Check("slices", True, f"{told}; none is outside of {least:.2f} to {most:.2f} beyond chance.")]


def _is_big(one: Mapping[str, Any], bounds: Bounds) -> bool:
    """By what was predicted too: a slice in which nothing happened may be the worst."""
    return bool(max(one["positives"], one["predicted"] * one["rows"]) >= bounds.slice_positives)


def _calibrated(value: float | None, low: float, high: float | None, allowed: float) -> tuple[bool, str]:
    least, most = 1 - allowed, 1 + allowed
    bound = f"{least:.2f} to {most:.2f}"
    if value is None:
        told = f"is at least {low:.3f} (95 %), as nothing was observed"
    else:
        told = f"is {value:.3f} (95 %: {low:.3f} to {'∞' if high is None else format(high, '.3f')})"
    if low > most or (high is not None and high < least):
        return False, f"{told}, outside of {bound} beyond chance"
    if value is not None and least <= value <= most:
        return True, f"{told}, within {bound}"
    return True, f"{told}; that it lies outside of {bound} may be chance"


def _number(block: Block, key: str, what: str, default: float) -> float:
    return float(block.get_as(key, (int, float), what, default))
