"""The check of cron expressions itself; schedules are checked with it in test_terraform_applied.py."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import pytest

from tests.infra.cron import problem, times

AFTER = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)  # a Saturday


@pytest.mark.parametrize(
    ("cron", "comes"),
    [
        ("30 3 * * ? *", ["2026-11-22T03:30", "2026-11-23T03:30"]),
        ("20 * * * ? *", ["2026-11-21T12:20", "2026-11-21T13:20"]),
        ("0/15 12 ? * SAT *", ["2026-11-21T12:15", "2026-11-21T12:30"]),
        ("0 6 ? * MON-FRI *", ["2026-11-23T06:00", "2026-11-24T06:00"]),
        ("0 0 L * ? *", ["2026-11-30T00:00", "2026-12-31T00:00"]),
        ("0 0 1W * ? *", ["2026-12-01T00:00", "2027-01-01T00:00"]),
        ("0 0 LW JAN ? 2027", ["2027-01-29T00:00"]),
        ("0 0 ? * 2#1 *", ["2026-12-07T00:00", "2027-01-04T00:00"]),
        ("0 0 ? 2 6L 2027-2028", ["2027-02-26T00:00", "2028-02-25T00:00"]),
        ("0 0 29 2 ? *", ["2028-02-29T00:00", "2032-02-29T00:00"]),
    ],
)
def test_a_cron_comes_when_its_documentation_says(cron: str, comes: list[str]) -> None:
    """UTC, weekdays from Sunday = 1, the last and the nearest working day as EventBridge has them."""
    assert problem(cron) is None
    assert [f"{moment:%Y-%m-%dT%H:%M}" for moment in islice(times(cron, AFTER), 2)] == comes


@pytest.mark.parametrize(
    ("cron", "why"),
    [
        ("30 3 * * *", "is no cron"),  # five fields, as on a Unix machine
        ("30 3 * * * *", "is no cron"),  # neither day is ?
        ("30 3 ? * ? *", "is no cron"),
        ("60 3 * * ? *", "is no cron"),
        ("30 24 * * ? *", "is no cron"),
        ("30 3 * * 8 *", "is no cron"),
        ("30 3 32 * ? *", "is no cron"),
        ("30 3 ? * MO *", "is no cron"),
        ("cron(30 3 * * ? *)", "is no cron"),
        ("30 3 * * ? *\n", "is no cron"),
        ("0/0 3 * * ? *", "step of 0"),
        ("0 20-4 * * ? *", "goes backwards"),
        ("0 3 31 2 ? *", "never comes"),
        ("0 3 * * ? 2020", "never comes"),
    ],
)
def test_a_wrong_cron_is_told(cron: str, why: str) -> None:
    """What EventBridge would refuse at the end of an apply, and what it would take and never start."""
    told = problem(cron)
    assert told is not None
    assert why in told
