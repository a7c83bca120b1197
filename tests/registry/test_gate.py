"""The promotion gate: what it lets pass, what it refuses, and what it leaves to chance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dsp_pipeline.errors import ExperimentError
from dsp_pipeline.registry.gate import CHALLENGER, FIRST, REFRESH, Bounds, read_bounds
from dsp_pipeline.registry.manifest import Identity
from dsp_pipeline.yamlfile import read_yaml
from tests.registry.decisions import CHAMPION, DEEPER, NEWER, make_decision, make_slice

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
        "Log loss 0.050000 is 0.000500 (0.99%) below (95 %: -0.000800 to -0.000200) the champion's on 300,000 common "
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
        "Log loss 0.050000 is 0.000400 (0.81%) above (95 %: +0.000100 to +0.000700) the baseline's on 300,000 rows: "
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
