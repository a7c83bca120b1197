"""What counts for a version, and what does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsp_pipeline.fingerprint import fingerprint
from dsp_pipeline.sql.fingerprint import normalised
from tests.sql.factories import BODY, make_query


def test_fingerprint_is_twelve_hex_digits_that_never_change() -> None:
    """The address of an output of last year must still be found."""
    assert fingerprint("a", "b") == "3c9d591045bc"


def test_parts_do_not_run_together() -> None:
    """Each part counts with its length."""
    assert len({fingerprint("ab", "c"), fingerprint("a", "bc"), fingerprint("abc"), fingerprint("abc", "")}) == 4


@pytest.mark.parametrize(
    "body",
    [
        BODY.replace("\n", "\n\n  "),
        BODY.replace("SELECT", "SELECT -- a comment\n /* another */"),
        BODY.replace("SELECT", "select").replace("FROM", "from").replace("LEFT JOIN", "left outer join"),
        BODY.replace("c.click_id IS NOT NULL AS", "(c.click_id) IS NOT NULL"),
        BODY.replace("click AS c", "click c") + ";",
    ],
)
def test_layout_does_not_count(tmp_path: Path, body: str) -> None:
    """Comments, spacing, keyword case and doubled parentheses keep the version."""
    assert normalised(make_query(tmp_path, body=body)) == normalised(make_query(tmp_path))


def test_prose_does_not_count(tmp_path: Path) -> None:
    """A better sentence about the grain, or another order of `reads:`, keeps the version."""
    changed = make_query(tmp_path, grain="Each impression once.", reads="click [0, 1], impression [0,0]")
    assert normalised(changed) == normalised(make_query(tmp_path))


@pytest.mark.parametrize(
    "changes",
    [
        {"body": BODY.replace("c.click_id IS NOT NULL", "c.click_id IS NULL")},
        {"body": BODY.replace("clicked", "was_clicked")},
        {"body": BODY.replace("LEFT JOIN", "JOIN")},
        {"body": BODY.replace("c.click_id IS", "'a b' IS")},
        {"reads": "impression [0, 0], click [0, +2]"},
        {"key": "impression_id, clicked"},
    ],
)
def test_meaning_counts(tmp_path: Path, changes: dict[str, str | None]) -> None:
    """A constant, a name, a join, a window or the key makes a new version."""
    assert normalised(make_query(tmp_path, **changes)) != normalised(make_query(tmp_path))


def test_precedence_counts(tmp_path: Path) -> None:
    """Parentheses that change the result are not dropped."""
    first = BODY.replace("c.click_id IS NOT NULL", "(i.a + i.b) * 2")
    second = BODY.replace("c.click_id IS NOT NULL", "i.a + i.b * 2")
    assert normalised(make_query(tmp_path, body=first)) != normalised(make_query(tmp_path, body=second))
