"""What a model card says first: the numbers in words, each with how sure it is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

GOOD, WATCH, BAD, PLAIN = "good", "watch", "bad", "plain"
DRIFTED, DRIFTED_FAR = 0.1, 0.25  # PSI, by the rule of thumb that training/drift.py quotes
_FEW = 1_000  # positives
_WIDE = 1.3  # an interval whose ends are farther apart than that says little
_OFF = 1.1  # predicted / observed, or its inverse, from where bids are visibly wrong
_Z = 1.959964  # of a two-sided interval of 95 %


@dataclass(frozen=True)
class Verdict:
    """A sentence or two under a title. `level` is one of good, watch, bad and plain."""

    level: str
    title: str
    text: str


def verdicts(report: Mapping[str, Any]) -> list[Verdict]:
    """The most important first. A part that the report lacks is not spoken of."""
    told = (_calibrated, _knows, _ranks, _sure, _leaks, _slices, _drift)
    return [one for tell in told for one in tell(report)]


def count_interval(positives: int) -> tuple[float, float]:
    """The 95 % interval of a Poisson mean of which so many were counted.

    Byar's approximation of the exact one, good to a percent from 1 on (Breslow and Day, "Statistical Methods in Cancer
    Research" II, 1987, equation 2.13). It takes positives for independent: where a user's come together, it is wider.
    """
    more = positives + 1
    high = more * (1 - 1 / (9 * more) + _Z / (3 * math.sqrt(more))) ** 3
    if not positives:
        return 0.0, high
    return max(0.0, positives * (1 - 1 / (9 * positives) - _Z / (3 * math.sqrt(positives))) ** 3), high


def ratio_interval(ratio: float, positives: int) -> tuple[float, float]:
    """The 95 % interval of predicted / observed, from how uncertain at least one positive is."""
    low, high = count_interval(positives)
    return ratio * positives / high, ratio * positives / low if low else math.inf


def auc_interval(auc: float, positives: int, negatives: int) -> tuple[float, float]:
    """Hanley and McNeil, "The Meaning and Use of the Area under a ROC Curve", Radiology 143, 1982, equation 1."""
    both, one = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (positives - 1) * (both - auc**2) + (negatives - 1) * (one - auc**2)
    error = math.sqrt(max(spread, 0.0) / (positives * negatives))
    return max(0.0, auc - _Z * error), min(1.0, auc + _Z * error)


def percent(share: float) -> str:
    """With three digits that say something, as 0.680 % or 14.2 %."""
    return f"{100 * share:#.3g}".rstrip(".") + " %"


def _calibrated(report: Mapping[str, Any]) -> Iterator[Verdict]:
    held_out = report.get("holdout") or {}
    ratio, positives = held_out.get("predicted_to_observed"), held_out.get("positives")
    if not ratio or not positives:
        return
    low, high = ratio_interval(ratio, positives)
    how = "as many as" if abs(ratio - 1) < 0.0005 else f"{percent(abs(ratio - 1))} {'more' if ratio > 1 else 'fewer'}"
    said = (
        f"It predicts {how}{' positives than' if how != 'as many as' else ' positives as'} came: predicted / observed"
    )
    said += f" is {ratio:.3f}, 95 % interval {low:.3f} to {high:.3f}"
    holds = low <= 1 <= high
    said += ", which holds 1." if holds else ", which does not hold 1."
    before = (report.get("uncalibrated") or {}).get("predicted_to_observed")
    if before and (report.get("calibration") or {}).get("kind") not in (None, "none"):
        said += f" Before calibration it was {before:.3f}."
    if holds and high / low < _WIDE:
        yield Verdict(GOOD, "Calibrated", said)
    elif holds:
        yield Verdict(WATCH, "Calibrated, as far as so few can tell", said)
    elif max(ratio, 1 / ratio) < _OFF:
        yield Verdict(WATCH, "A little off", said)
    else:
        yield Verdict(BAD, "Miscalibrated", said)


def _knows(report: Mapping[str, Any]) -> Iterator[Verdict]:
    held_out, baseline = report.get("holdout") or {}, report.get("baseline") or {}
    entropy, simple = held_out.get("normalised_entropy"), baseline.get("normalised_entropy")
    if entropy is None:
        return
    said = f"Its log loss is {_below(1 - entropy)} that of predicting the base rate for every row"
    said += f" (normalised entropy {entropy:.4f})"
    if simple is None:
        level, title = (GOOD, "Better than the base rate") if entropy < 1 else (BAD, _NOTHING)
        yield Verdict(level, title, f"{said}.")
        return
    said += f"; that of a logistic regression is {_below(1 - simple)} it."
    if entropy < simple:
        said += f" So the trees take {percent(1 - entropy / simple)} off the simple model's."
    few = (held_out.get("positives") or 0) < _FEW
    if few:
        said += " On so few positives the difference may be chance."
    if entropy >= 1:
        yield Verdict(BAD, _NOTHING, said)
    elif entropy < simple and few:
        yield Verdict(WATCH, "Perhaps better than a simple model", said)
    elif entropy < simple:
        yield Verdict(GOOD, "Better than a simple model", said)
    else:
        yield Verdict(WATCH, "No better than a simple model", said)


_NOTHING = "Worse than knowing nothing"


def _below(share: float) -> str:
    return f"{percent(abs(share))} {'below' if share >= 0 else 'above'}"


def _ranks(report: Mapping[str, Any]) -> Iterator[Verdict]:
    held_out, simple = report.get("holdout") or {}, (report.get("baseline") or {}).get("auc")
    auc, positives, rows = (held_out.get(name) for name in ("auc", "positives", "rows"))
    if auc is None or not positives or not rows:
        return
    low, high = auc_interval(auc, positives, rows - positives)
    beside = f"; {percent(simple)} by the logistic regression" if simple is not None else ""
    said = f"In {percent(auc)} of pairs a positive scores above a negative (AUC {auc:.3f}, 95 % interval {low:.3f} to "
    yield Verdict(GOOD if low > 0.5 else WATCH, "Ranking", f"{said}{high:.3f}){beside}.")


def _sure(report: Mapping[str, Any]) -> Iterator[Verdict]:
    held_out = report.get("holdout") or {}
    positives, rows = held_out.get("positives"), held_out.get("rows")
    if positives is None or not rows:
        return
    low, high = count_interval(positives)
    of = f"{positives:,} of {rows:,} held-out rows are positive, {percent(positives / rows)}; another such day"
    said = f"{of} would give {low:,.0f} to {high:,.0f}."
    if positives >= _FEW:
        yield Verdict(PLAIN, "How sure this is", said)
        return
    width = (
        f"The day's own rate is known to ±{(high - low) / 2 / positives:.0%} only" if positives else "Nothing is known"
    )
    said = f"{said} {width}: differences between models that lie within the intervals above are chance."
    yield Verdict(WATCH, f"Few positives: {positives:,}", said)


def _leaks(report: Mapping[str, Any]) -> Iterator[Verdict]:
    if "leaks" not in report:
        return
    found = report["leaks"] or []
    if not found:
        yield Verdict(GOOD, "No leak was found", "No feature alone knows implausibly much of the label.")
        return
    names = ", ".join(dict.fromkeys(str(one["feature"]) for one in found))
    yield Verdict(BAD, "A feature may know the answer", f"{names}: see Leaks below before this model is served.")


def _slices(report: Mapping[str, Any]) -> Iterator[Verdict]:
    judged = [one for one in report.get("slices") or [] if one.get("high") is not None]
    if not judged:
        return
    outside = [one for one in judged if outside_of(one)]
    chance = 0.05 * len(judged)
    said = (
        f"In {len(outside)} of {len(judged)} slices the interval of predicted / observed does not hold 1; chance alone "
    )
    said += f"would give about {chance:.0f}."
    if outside:
        farthest = max(outside, key=distance)
        said += (
            f" Farthest off is {farthest['column']} = {farthest['value']}: {farthest['predicted_to_observed']:.2f} "
            f"({farthest['low']:.2f} to {farthest['high']:.2f}, {_positives(farthest['positives'])})."
        )
    usual = len(outside) <= chance + 2 * math.sqrt(0.95 * chance)
    yield Verdict(GOOD if usual else WATCH, "Right in its parts" if usual else "Some parts are off", said)


def outside_of(one: Mapping[str, Any]) -> bool:
    """Whether the interval of a slice's predicted / observed does not hold 1."""
    return one.get("high") is not None and not one["low"] <= 1 <= one["high"]


def distance(one: Mapping[str, Any]) -> float:
    """How far the nearer end of a slice's interval is from 1."""
    return max(math.log(one["low"]), -math.log(one["high"])) if one["low"] > 0 else -math.log(one["high"])


def _drift(report: Mapping[str, Any]) -> Iterator[Verdict]:
    found = {name: one["psi"] for name, one in (report.get("drift") or {}).items()}
    if not found:
        return
    moved = sorted((name for name in found if found[name] >= DRIFTED), key=lambda name: -found[name])
    most = max(found, key=lambda name: found[name])
    if not moved:
        yield Verdict(
            GOOD, "The features are as they were", f"The largest drift is that of {most}, PSI {found[most]:.3f}."
        )
        return
    named = _listed([f"{name} (PSI {found[name]:.2f})" for name in moved[:3]])
    others = f" and {len(moved) - 3} more" if moved[3:] else ""
    lie = "lies" if len(moved) == 1 else "lie"
    said = f"{named}{others} {lie} elsewhere on the held-out day than on the training days."
    yield Verdict(WATCH, "A feature drifted" if len(moved) == 1 else f"{len(moved)} features drifted", said)


def _positives(number: int) -> str:
    return f"{number:,} positive{'' if number == 1 else 's'}"


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words)
