"""`dsp new` refuses a name that would break other commands."""

from __future__ import annotations

import pytest

from tests.console.lake import answer
from tests.e2e.folder import Folder


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("step", "range_daily"), "RangeDaily is already a task"),
        (("step", "task"), "Task is already a task"),
        (("step", "export_model"), "ExportModel is already a task"),
        (("step", "click_rate_baseline"), "click_rate_baseline is already an experiment"),
        (("model", "click_rate_baseline"), "click_rate_baseline is already an experiment"),
        (("experiment", "campaign_daily", "--model", "click_rate"), "campaign_daily is already a table"),
        (("experiment", "hourly_click_rate", "--model", "click_rate"), "hourly_click_rate is already a step"),
        (("experiment", "click_rate_baseline", "--model", "click_rate"), "click_rate_baseline.yaml is there already"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
def test_a_name_of_something_else_is_refused(made: Folder, words: tuple[str, ...], sentence: str) -> None:
    """Two tasks of one name stop luigi, and a short name that is two things means neither."""
    told = answer(made, "new", *words)
    assert (told.code, told.out) == (1, "")
    assert sentence in told.err and "take another name" in told.err
