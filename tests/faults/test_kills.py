"""Each task is killed at each boundary between two things that it does to the world, and run again."""

from __future__ import annotations

import time

import pytest

from tests.faults.lakes import STEPS, LocalLake, Step, assert_recovered, killed_at, moments_of_time
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
    for moment in moments_of_time(step, took, 15 if FULL else 1):
        whole.unmake(step)
        killed = whole.start(*step.command).ended(moment).killed
        assert_recovered(whole, step, expected, rows, count, f"{step} killed after {moment:.3f} s", int(killed))


@pytest.mark.parametrize("step", _QUICK, ids=str)
def test_of_two_workers_one_is_killed_and_the_other_ends_well(step: Step, whole: LocalLake, count: Count) -> None:
    """They know nothing of each other, and make the same at once. The other's exit code is 0, and all is there."""
    killed_at(whole, step, whole.content(), whole.rows(step), count, short=1, beside=True)
