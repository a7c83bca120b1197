"""The promotion gate: what it lets pass, what it refuses, and what it leaves to chance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dsp_pipeline.errors import ExperimentError
from dsp_pipeline.registry.decisions import Decision
from dsp_pipeline.registry.gate import CHALLENGER, FIRST, REFRESH, Bounds, decide, read_bounds
from dsp_pipeline.registry.manifest import Identity
from dsp_pipeline.training.compare import evidence
from dsp_pipeline.yamlfile import read_yaml
from tests.registry.decisions import CHAMPION, DEEPER, NEWER, NOW, make_decision, make_slice

ABOVE = (0.0004, 0.0001, 0.0007)
OPEN = (0.0004, -0.0003, 0.0011)


@pytest.mark.parametrize(
    ("candidate", "champion", "kind"),
    [
        (NEWER, None, FIRST),
        (NEWER, CHAMPION, REFRESH),
        (DEEPER, CHAMPION, CHALLENGER),
        (replace(NEWER, version="def456"), CHAMPION, CHALLENGER),
        (replace(NEWER, experiment="other"), CHAMPION, CHALLENGER),
    ],
)
def test_what_a_bundle_is_decides_what_is_asked_of_it(
    candidate: Identity, champion: Identity | None, kind: str
) -> None:
    """Another version is another model, also under the same name."""
    found = make_decision(candidate, champion)
    assert (found.kind, found.accepted) == (kind, True)
    asked = {check.name for check in found.checks}
    assert (
        asked - {"predicted/observed", "slices"}
        == {
            FIRST: {"log loss against the baseline", "log loss against the base rate"},
            REFRESH: {"log loss against the baseline"},
            CHALLENGER: {"log loss against the champion"},
        }[kind]
    )


def test_a_challenger_that_is_better_beyond_noise_is_accepted() -> None:
    """And its reasons tell all numbers."""
    found = make_decision()
    assert found.accepted
    assert found.reasons == (
        "Log loss 0.050000 is 0.000500 (0.99%) below the champion's (95 %: -0.000800 to -0.000200) on 300,000 common "
        "rows: better beyond noise.",
        "Predicted/observed is 1.000 (95 %: 0.970 to 1.030), within 0.95 to 1.05.",
        "1 of 1 slices have 200 positives or more; none is outside of 0.80 to 1.20 beyond chance.",
    )


@pytest.mark.parametrize(
    ("against", "told"),
    [
        ((-0.0002, -0.0005, 0.0001), "not better beyond noise"),
        ((0.0, 0.0, 0.0), "not better beyond noise"),
        (ABOVE, "worse beyond noise"),
        (None, "The champion has no scores of these days"),
    ],
)
def test_a_challenger_that_is_not_better_beyond_noise_is_refused(
    against: tuple[float, float, float] | None, told: str
) -> None:
    """However good it is otherwise."""
    found = make_decision(against_champion=against)
    assert not found.accepted
    (reason,) = found.reasons
    assert told in reason


def test_a_challenger_is_not_better_by_nine_clicks() -> None:
    """A bootstrap of them may well say so."""
    found = make_decision(positives=9, slices=[])
    assert not found.accepted
    assert "with 9 positives: too few to tell; judge it on more days." in found.reasons[0]
    assert make_decision(positives=10, slices=[]).accepted


def test_a_challenger_that_is_better_and_miscalibrated_is_refused() -> None:
    """Its bids would be 12 % too high."""
    found = make_decision(ratio=(1.12, 1.08, 1.16))
    assert not found.accepted
    assert found.reasons == (
        "Predicted/observed is 1.120 (95 %: 1.080 to 1.160), outside of 0.95 to 1.05 beyond chance.",
    )
    assert not make_decision(ratio=(0.9, 0.86, 0.94)).accepted


@pytest.mark.parametrize("candidate", [NEWER, DEEPER])
def test_few_clicks_do_not_refuse_by_chance(candidate: Identity) -> None:
    """With 40 clicks a calibrated model looks like this on one day in ten."""
    found = make_decision(candidate, ratio=(1.3, 0.94, 1.82), slices=[])
    assert found.accepted
    assert "that it lies outside of 0.95 to 1.05 may be chance" in " ".join(found.reasons)


@pytest.mark.parametrize(("low", "accepted"), [(0.4, True), (1.3, False)])
def test_a_day_without_a_click_refuses_what_predicted_many(low: float, accepted: bool) -> None:
    """The ratio has no value and no upper end; its lower end tells."""
    found = make_decision(NEWER, ratio=(None, low, None), positives=0, slices=[])
    assert found.accepted is accepted
    assert any(f"is at least {low:.3f} (95 %), as nothing was observed" in check.reason for check in found.checks)


def test_one_big_slice_that_is_off_refuses() -> None:
    """It is named, with its numbers; slices that are fine are not."""
    off = make_slice("9", ratio=(1.4, 1.25, 1.55))
    found = make_decision(slices=[make_slice(), off])
    assert found.reasons == (
        "advertiser_id = 9: predicted/observed is 1.400 (95 %: 1.250 to 1.550), outside of 0.80 to 1.20 beyond chance, "
        "with 600 positives in 60,000 rows.",
    )
    assert [one["value"] for one in found.numbers["slices"]] == ["7", "9"]


def test_a_small_slice_that_is_off_does_not_refuse() -> None:
    """Among many of them some are."""
    off = make_slice("9", ratio=(3.0, 1.6, 6.0), positives=10, rows=3000)
    found = make_decision(slices=[make_slice(), off])
    assert found.accepted
    assert [one["value"] for one in found.numbers["slices"]] == ["7"]
    assert not make_decision(slices=[off], bounds=Bounds(slice_positives=10)).accepted


def test_a_slice_in_which_much_was_predicted_and_nothing_happened_is_big() -> None:
    """Its clicks may have been lost, or it cannot be clicked."""
    off = make_slice("9", ratio=(None, 60.0, None), positives=0, observed=0.0)
    assert not make_decision(slices=[off]).accepted


def test_a_slice_that_may_be_off_by_chance_does_not_refuse() -> None:
    """Its interval reaches into the bounds."""
    assert make_decision(slices=[make_slice(ratio=(1.3, 1.15, 1.47))]).accepted


@pytest.mark.parametrize("champion", [None, CHAMPION])
def test_what_is_worse_than_its_baseline_is_refused(champion: Identity | None) -> None:
    """As a first model and as a refresh; what may be worse is not."""
    found = make_decision(NEWER, champion, baseline=ABOVE)
    assert not found.accepted
    assert found.reasons == (
        "Log loss 0.050000 is 0.000400 (0.81%) above the baseline's (95 %: +0.000100 to +0.000700) on 300,000 rows: "
        "worse beyond noise.",
    )
    may_be = make_decision(NEWER, champion, baseline=OPEN)
    assert may_be.accepted and "not shown to be better, nor to be worse" in may_be.reasons[0]


def test_a_team_may_let_a_model_be_a_little_worse_than_its_baseline() -> None:
    """By a share of the baseline's log loss, beyond noise."""
    assert make_decision(NEWER, None, Bounds(above_baseline=0.01), baseline=ABOVE).accepted
    found = make_decision(NEWER, None, Bounds(above_baseline=0.001), baseline=ABOVE)
    assert not found.accepted and "worse beyond noise and the 0.1% allowed" in found.reasons[0]


def test_a_first_model_that_knows_less_than_the_base_rate_is_refused() -> None:
    """A bid by the mean click rate would be better; a refresh is held against its baseline alone."""
    assert not make_decision(NEWER, None, base_rate=ABOVE).accepted
    assert make_decision(NEWER, CHAMPION, base_rate=ABOVE).accepted


def test_a_model_without_slices_is_judged_as_a_whole() -> None:
    """And the decision says so."""
    assert make_decision(slices=[]).reasons[-1] == "The model names no slices to be judged by."


def scored(rows: int, *, rate: float = -3.0, noise: float = 0.0, too_high: float = 1.0) -> pa.Table:
    """A day's scores, whose log odds miss the truth by `noise`, times `too_high`; equal numbers give equal rows."""
    random = np.random.default_rng(5)
    odds, error = random.normal(rate, 1, rows), random.normal(0, 1, rows)
    label = random.random(rows) < 1 / (1 + np.exp(-odds))
    score = 1 / (1 + np.exp(-odds - noise * error))
    return pa.table(
        {
            "impression_id": np.arange(rows),
            "label": label.astype(np.uint8),
            "score": np.minimum(score * too_high, 0.999),
            "baseline": (1 / (1 + np.exp(-odds - error))).astype(np.float32),
            "weight": np.ones(rows, dtype=np.float32),
            "unit": [f"u{place // 3}" for place in range(rows)],
            "exchange": random.choice(["adx", "tanx"], rows),
        }
    )


def decided(candidate: Identity, model: pa.Table, champion: pa.Table | None = None) -> Decision:
    found = evidence(
        [model], key=("impression_id",), slices=("exchange",), seed=1, champion=None if champion is None else [champion]
    )
    return decide(candidate, None if champion is None else CHAMPION, found, Bounds(), environment="production", at=NOW)


def test_what_training_finds_is_what_the_gate_reads() -> None:
    """A better challenger passes, and is refused once its probabilities are half too high; the champion stays then."""
    champion = scored(9_000, noise=0.6)
    assert decided(DEEPER, scored(9_000), champion).accepted
    off = decided(DEEPER, scored(9_000, too_high=1.5), champion)
    assert not off.accepted
    failed = {check.name for check in off.checks if not check.passed}
    assert {"predicted/observed", "exchange = adx", "exchange = tanx"} <= failed
    assert Decision.from_json(off.to_json(), "here") == off


def test_a_day_of_forty_clicks_neither_refuses_nor_replaces_by_chance() -> None:
    """A tenth too high is not seen in them, nor is a model that is a little better."""
    few, rate = 5000, -5.4
    model = scored(few, rate=rate, too_high=1.1)
    assert 30 < int(model["label"].to_numpy().sum()) < 50
    assert decided(NEWER, model).accepted
    champion = scored(few, rate=rate, noise=0.2)
    assert not decided(DEEPER, scored(few, rate=rate), champion).accepted
    assert not decided(DEEPER, champion, scored(few, rate=rate)).accepted


def bounds_of(folder: Path, text: str) -> Bounds:
    (folder / "some.yaml").write_text(text)
    return read_bounds(read_yaml(folder / "some.yaml", ExperimentError)["gate"])


def test_bounds_are_read_and_what_is_left_out_stays(tmp_path: Path) -> None:
    """An experiment without `gate:` has the defaults."""
    found = bounds_of(tmp_path, "gate:\n  calibration: 0.1\n  slice_positives: 1000\n")
    assert found == Bounds(calibration=0.1, slice_positives=1000)
    assert read_bounds(None) == Bounds()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("calibraton: 0.1", "unknown key 'calibraton': did you mean calibration"),
        ("calibration: tight", "`calibration` is 'tight'; it is a number above 0 and below 1."),
        ("calibration: 1", "`calibration` is 1.0; it is a number above 0 and below 1."),
        ("slice_calibration: 0", "`slice_calibration` is 0.0; it is a number above 0 and below 1."),
        ("slice_calibration: .nan", "`slice_calibration` is nan; it is a number above 0 and below 1."),
        ("slice_positives: 0", "`slice_positives` is 0; it is a whole number of positives, at least 1."),
        ("slice_positives: 20.5", "`slice_positives` is 20.5; it is a whole number of positives, at least 1."),
        ("above_baseline: -0.1", "`above_baseline` is -0.1; it is a number from 0 and below 1."),
        ("above_baseline: true", "`above_baseline` is True; it is a number from 0 and below 1."),
    ],
)
def test_wrong_bounds_are_told_with_file_and_line(line: str, told: str, tmp_path: Path) -> None:
    """The line is that of the bound."""
    with pytest.raises(ExperimentError) as caught:
        bounds_of(tmp_path, f"gate:\n  # how far off a served model may be\n  {line}\n")
    assert "some.yaml:3: " in str(caught.value)
    assert told in str(caught.value)
