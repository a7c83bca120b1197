"""Each task is killed at each boundary between two things that it does to the world, and run again."""

from __future__ import annotations

import time

import pytest

from tests.faults.lakes import STEPS, LocalLake, Step, assert_recovered, moments_of_time
from tests.faults.tally import FULL, Count


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_a_task_that_is_killed_at_any_boundary_is_made_by_the_next_run(
    step: Step, whole: LocalLake, count: Count
) -> None:
    """What counts is whole at every moment; after the same command once more all is as if nothing had been."""
    expected, rows = whole.content(), whole.rows(step)
    whole.unmake(step)
    done = whole.run(*step.command)
    assert done.code == 0, done.text
    assert_recovered(whole, step, expected, rows, count, "undisturbed")
    assert len(done.events) > 5
    for moment in step.moments(len(done.events), short=6):
        whole.unmake(step)
        killed = whole.run(*step.command, kill_at=moment)
        _recover(whole, step, killed.killed, count, f"{step} killed before {done.events[moment]}")
        assert_recovered(whole, step, expected, rows, count, f"{step} killed before {done.events[moment]}")


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_a_task_that_is_killed_at_any_time_is_made_by_the_next_run(step: Step, whole: LocalLake, count: Count) -> None:
    """The same at random times: in the middle of what a library does by itself."""
    expected, rows = whole.content(), whole.rows(step)
    whole.unmake(step)
    begun = time.monotonic()
    assert whole.run(*step.command).code == 0
    took = time.monotonic() - begun
    for moment in moments_of_time(step, took, 15 if FULL else 2):
        whole.unmake(step)
        killed = whole.start(*step.command).ended(moment)
        _recover(whole, step, killed.killed, count, f"{step} killed after {moment:.3f} s")
        assert_recovered(whole, step, expected, rows, count, f"{step} killed after {moment:.3f} s")


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_of_two_workers_one_is_killed_and_the_other_ends_well(step: Step, whole: LocalLake, count: Count) -> None:
    """They know nothing of each other, and make the same at once. The other's exit code is 0, and all is there."""
    expected, rows = whole.content(), whole.rows(step)
    whole.unmake(step)
    events = whole.run(*step.command).events
    for moment in step.moments(len(events), short=2)[:: 2 if FULL else 1]:
        whole.unmake(step)
        first, second = whole.start(*step.command, kill_at=moment), whole.start(*step.command)
        killed, other = first.ended(), second.ended()
        what = f"{step} of two, one killed before {events[moment]}"
        assert other.code == 0, (what, other.text)
        _recover(whole, step, killed.killed, count, what)
        assert_recovered(whole, step, expected, rows, count, what)


def _recover(whole: LocalLake, step: Step, killed: bool, count: Count, what: str) -> None:
    """The same command again."""
    count("kills", int(killed))
    whole.assert_whole()
    again = whole.run(*step.command)
    assert again.code == 0, (what, again.text)
    count("recovered", int(killed))
