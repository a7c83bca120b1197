"""Each task is killed at each boundary between two things that it does to the world, and run again."""

from __future__ import annotations

import time
from hashlib import sha256
from typing import Any

import pytest

from dsp_pipeline.receipts import Draft, File
from tests.e2e.folder import DAY
from tests.faults.lakes import STEPS, LocalLake, Step, assert_recovered, assert_swept, killed_at, moments_of_time
from tests.faults.tally import FULL, Count

# Training costs seconds each time; the short form kills it at boundaries alone.
_QUICK = STEPS if FULL else [one for one in STEPS if one.task != "TrainModel"]


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_a_task_that_is_killed_at_any_boundary_is_made_by_the_next_run(
    step: Step, whole: LocalLake, count: Count
) -> None:
    """What counts is whole at every moment; after the same command once more all is as if nothing had been."""
    killed_at(whole, step, whole.content(), whole.rows(step), count, short=3)


@pytest.mark.parametrize("step", _QUICK, ids=str)
def test_a_task_that_is_killed_at_any_time_is_made_by_the_next_run(step: Step, whole: LocalLake, count: Count) -> None:
    """The same at random times: in the middle of what a library does by itself."""
    expected, rows = whole.content(), whole.rows(step)
    whole.unmake(step)
    begun = time.monotonic()
    assert whole.run(*step.command).code == 0
    took = time.monotonic() - begun
    for moment in moments_of_time(step, took, 10 if FULL else 1):
        whole.unmake(step)
        killed = whole.start(*step.command).ended(moment).killed
        assert_recovered(whole, step, expected, rows, count, f"{step} killed after {moment:.3f} s", int(killed))


@pytest.mark.parametrize("step", _QUICK, ids=str)
def test_of_two_workers_one_is_killed_and_the_other_ends_well(step: Step, whole: LocalLake, count: Count) -> None:
    """They know nothing of each other, and make the same at once. The other's exit code is 0, and all is there."""
    killed_at(whole, step, whole.content(), whole.rows(step), count, short=1, beside=True)


_ANEW = {
    "FeatureBuild": ("FeatureBuild", "--table", "campaign_daily", "--date", DAY),
    "ExportModel": ("ExportModel", "--experiment", "click_rate_baseline", "--arm", "control", "--date", DAY),
}


@pytest.mark.parametrize("task", _ANEW)
def test_what_is_made_anew_is_there_all_the_time(task: str, whole: LocalLake, count: Count) -> None:
    """`dsp rerun` is killed at each boundary: the old counts until the new one does, and then the command ends well."""
    (step,) = (one for one in STEPS if one.task == task)
    words = ("rerun", *_ANEW[task], "--yes")
    expected = whole.content()
    done = whole.act("dsp", *words)
    assert done.code == 0, done.text
    assert_swept(whole, count, "undisturbed")
    assert whole.content() == expected
    for moment in step.moments(len(done.events), short=4):
        killed = whole.act("dsp", *words, kill_at=moment)
        what = f"rerun of {task} killed before {done.events[moment]}"
        count("kills", int(killed.killed))
        if _moved_meanwhile(whole, expected):
            assert task == "ExportModel"  # its receipt names the new bundle, and its pointer is about to
        else:
            assert whole.content() == expected, what
        whole.assert_whole()
        again = whole.act("dsp", *words)
        assert again.code == 0, (what, again.text)
        assert whole.content() == expected, what
        assert_swept(whole, count, what)
        count("recovered", int(killed.killed))


def _moved_meanwhile(whole: LocalLake, expected: dict[str, Any]) -> bool:
    """Whether a pointer names the bundle before the one that its receipt names, and all else is as expected."""
    now = whole.content()
    differing = {key for key in expected if now.get(key) != expected[key]}
    return bool(differing) and all(
        key.startswith("serving/") and now[key][:-1] == expected[key][:-1] for key in differing
    )


def test_a_janitor_that_is_killed_takes_nothing_that_is_needed(whole: LocalLake, count: Count) -> None:
    """At each boundary of its work; the next one ends it."""
    expected = whole.content()
    number = None
    for moment in range(400):
        if FULL or moment % 9 == 0:
            for path in ("train/x/y/0a1b2c/2026-11-18/aa", "ingest/click-0a1b2c/2026-11-18T05/bb"):
                for name in ("events.parquet", "model.ubj"):
                    whole.store.put(f"outputs/{path}/{name}", b"left by somebody")
            whole.store.put("receipts/ingest/click-0a1b2c/2026-11-18T05.json", _receipt())
            whole.store.put("warehouse/tables/click_0a1b2c/2026-11-18T05/bb.parquet", b"left by somebody")
            killed = whole.act("janitor", "remove", kill_at=moment)
            count("kills", int(killed.killed))
            whole.assert_whole()
            assert_swept(whole, count, f"a janitor killed at {moment}")
            whole.janitor(remove=True)
            assert whole.content() == expected
            count("recovered", int(killed.killed))
            if not killed.killed:
                number = moment
                break
    assert number is not None
    assert number > 5


def _receipt() -> bytes:
    """One of a version that nothing makes."""
    file = File(
        "outputs/ingest/click-0a1b2c/2026-11-18T05/bb/events.parquet", 16, sha256(b"left by somebody").hexdigest()
    )
    return Draft("ingest/click-0a1b2c/2026-11-18T05", "0a1b2c").finish(1, [file]).to_json()
