"""Decisions are kept in the store for good, and read on one page."""

from __future__ import annotations

from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dsp_pipeline.errors import BundleError
from dsp_pipeline.registry.decisions import Decision, keep, kept
from dsp_pipeline.registry.decisions_page import decisions_page
from dsp_pipeline.storage.local import LocalFolder
from tests.registry.decisions import NEWER, NOW, make_decision, make_slice


def test_a_decision_survives_json() -> None:
    """With each number that it was made of."""
    found = make_decision(NEWER, None, ratio=(None, 1.3, None))
    again = Decision.from_json(found.to_json(), "here")
    assert again == found
    assert again.to_json() == found.to_json()


@pytest.mark.parametrize("text", [b"{", b"[]", b"{}", b'{"checks": 1}'])
def test_what_is_no_decision_is_told(text: bytes) -> None:
    """By its key."""
    with pytest.raises(BundleError, match=r"decisions/production/x\.json"):
        Decision.from_json(text, "decisions/production/x.json")


def test_decisions_are_kept_by_environment_and_model_and_read_newest_first(tmp_path: Path) -> None:
    """Whichever was written first; of one model, of an environment, or all."""
    store = LocalFolder(tmp_path)
    newer = make_decision(at=NOW + timedelta(seconds=1))
    older, other = make_decision(), make_decision(environment="staging", at=NOW + timedelta(minutes=1))
    key = keep(store, newer)
    keep(store, older)
    keep(store, other)
    assert key.startswith("decisions/production/click_rate/20261124T040507.000Z-") and key.endswith(".json")
    assert kept(store) == [other, newer, older]
    assert kept(store, "production") == kept(store, "production", "click_rate") == [newer, older]
    assert kept(store, model="click_rate", most=1) == [other]
    assert kept(store, "production", "win_rate") == kept(store, "prod") == []


def test_the_same_decision_twice_is_kept_once(tmp_path: Path) -> None:
    """Two of the same moment that differ are both kept."""
    store = LocalFolder(tmp_path)
    assert keep(store, make_decision()) == keep(store, make_decision())
    assert keep(store, make_decision(NEWER)) != keep(store, make_decision())
    assert len(kept(store)) == 2


def test_a_damaged_decision_is_told_by_its_key(tmp_path: Path) -> None:
    """It is not left out silently."""
    store = LocalFolder(tmp_path)
    key = keep(store, make_decision())
    store.put(key, b"{}")
    with pytest.raises(BundleError, match=key):
        kept(store)


class Page(HTMLParser):
    """What a reader sees, and the names of all elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words, self.elements, self.opened = "", set[str](), list[str]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.elements.add(tag)
        if tag not in ("meta", "br"):
            self.opened.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_page_tells_each_decision_with_its_numbers_newest_first() -> None:
    """Accepted and refused ones, with what was asked of them."""
    refused = make_decision(
        at=NOW + timedelta(days=1), against_champion=(0.0004, 0.0001, 0.0007), slices=[make_slice("9")]
    )
    page = Page(decisions_page([make_decision(NEWER, None), refused]))
    assert page.opened == []
    assert page.words.index("click_rate: refused") < page.words.index("click_rate: accepted")
    for words in (
        "2 decisions",
        "baseline/deeper/def456/2026-11-23in place of baseline/control/abc123/2026-11-22",
        "where nothing was served",
        "worse beyond noise",
        "Judged on 2 days, 300,000 rows, 3,000 positives.",
        "advertiser_id = 9",
        "+0.000400 (+0.000100 to +0.000700)",
        "calibration 0.05",
    ):
        assert words in page.words


def test_the_page_takes_nothing_from_elsewhere_and_runs_nothing() -> None:
    """Names from logs may hold anything, and are shown as they are."""
    wicked = "<script>alert('x')</script>&\"<img src=//x>"
    text = decisions_page([make_decision(slices=[make_slice(wicked, ratio=(1.5, 1.4, 1.6))])])
    page = Page(text)
    assert wicked in page.words
    assert not page.elements & {"script", "img", "link", "iframe"}
    assert "http" not in text and "url(" not in text


def test_a_page_without_decisions_says_so() -> None:
    """Before the first export."""
    assert "Nothing was decided yet." in Page(decisions_page([])).words
