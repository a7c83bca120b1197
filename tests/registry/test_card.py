"""The card of a model: what it says, and that it stands alone."""

from __future__ import annotations

import copy
import json
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from dsp_pipeline.registry.card import render_card
from dsp_pipeline.registry.card_words import auc_interval, count_interval, ratio_interval, verdicts
from tests.training.rows import fit_rows, make_rows

VOID = {"meta", "link", "br", "img", "hr", "input"}
HOSTILE = '"><script src=https://evil.example/x.js></script>$\\frac{{1}}</b>'
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDTHS = (390, 1280)  # pixels of a phone and of a desk
COST = {"seconds": 41.2, "cpu_seconds": 63.8, "peak_memory_bytes": 691_000_000, "revision": "033f39e18a62"}


class Page(HTMLParser):
    """Tags with their attributes, and the text; open ones must be closed in their order."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(page.decode())
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a real training finds, with what only TrainModel knows."""
    day = {number: make_rows(3000, number) for number in range(3)}
    found = fit_rows(tmp_path_factory.mktemp("card"), day[0], day[1], day[2], slices=("exchange_code",)).report
    model = {
        "name": "click_rate",
        "experiment": "baseline",
        "arm": "control",
        "version": "abc123abc123",
        "date": "2026-11-21",
        "label": "clicked",
        "table": "click_rate",
        "table_version": "def456def456",
    }
    for part in found["data"].values():
        part["days"] = ["2026-11-20"]
    return {**found, "model": model, "libraries": {"xgboost": "3.2.0"}, "engine": "local"}


def lineage() -> dict[str, Any]:
    """Two hours of raw logs in the warehouse, a table of them, and a training."""
    hours = ["2026-11-20T05", "2026-11-20T06"]
    made: dict[str, Any] = {"train/x/y/1/2026-11-21": {"rows": 1, "seconds": 1000.0}}
    for hour in hours:
        raw = [{"name": f"raw/{hour}/{part}.gz", "digest": "1"} for part in ("a", "b")]
        made[f"ingest/click-111/{hour}"] = {"rows": 10, "rejected": {"malformed": 2}, "seconds": 1.5, "inputs": raw}
        made[f"click_111/{hour}"] = {"rows": 10, "seconds": 0.5, "details": {"billed_bytes": 3_000_000}}
    made["click_rate_def456/2026-11-20"] = {"rows": 8, "seconds": 2.0, "revision": "033f39e18a62784676"}
    return made


def changed(report: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    made = copy.deepcopy(report)
    place = made
    *above, last = path.split(".")
    for name in above:
        place = place[name]
    place[last] = value
    return made


def test_a_training_is_told_in_words_and_plots(report: dict[str, Any]) -> None:
    """Every part is there: verdicts, plots, features, slices, drift, days, versions, cost, where it comes from."""
    page = Page(render_card(report, lineage(), COST))
    held_out = report["holdout"]
    for said in (
        "click_rate",
        "baseline / control",
        f"{held_out['positives']:,} of 3,000 held-out rows are positive",
        f"{held_out['predicted_to_observed']:.3f}",
        f"{held_out['log_loss']:.5f}",
        "exchange_code: ",
        "What it listens to",
        "Drift",
        f"{report['trees']} of at most 20",
        "Made from 4 raw files",
        "2026-11-20T05 … 2026-11-20T06",
        "6.0 s, shared with every other model of it",
        "6 MB by BigQuery",
        "41.2 s, 63.8 s of CPU",
        "691 MB at most",
        "xgboost 3.2.0",
        "033f39e18a62",
    ):
        assert said in page.text, said
    drawn = {attributes.get("aria-label") for tag, attributes in page.tags if tag == "svg"}
    assert {"Log loss by the number of trees.", "What rate multiplies the odds by."} <= drawn and len(drawn) >= 7
    anchors = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert anchors == {f"#{at}" for at in ("quality", "features", "slices", "drift", "training", "origin", "words")}


def test_nothing_is_fetched(report: dict[str, Any]) -> None:
    """No script, no address of another place, and a policy that forbids both; ids are used once."""
    page = render_card(report, lineage(), COST)
    tags = Page(page).tags
    for tag, attributes in tags:
        assert tag != "script"
        for name in ("src", "href", "xlink:href", "data", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, attributes)
    assert not re.search(rb"url\((?!#)|@import|<metadata|<!DOCTYPE svg", page)
    assert any("default-src 'none'" in (attributes.get("content") or "") for _, attributes in tags)
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids)) > 20
    assert len(page) < 500_000


def test_equal_reports_give_equal_bytes(report: dict[str, Any]) -> None:
    """Ids of plots are no accident, no time is written; a report read back from JSON is the same report."""
    again = json.loads(json.dumps(report))
    assert render_card(report, lineage(), COST) == render_card(again, lineage(), dict(COST))


@pytest.mark.parametrize("kept", [(), ("holdout",), ("model", "data", "curve"), ("importance", "dependence", "drift")])
def test_a_part_that_is_missing_is_left_out(report: dict[str, Any], kept: tuple[str, ...]) -> None:
    """Whatever is absent or None, the page is whole."""
    some = {name: report[name] for name in kept}
    for made in (some, {**dict.fromkeys(report), **some}):
        text = Page(render_card(made, {}, {})).text
        assert ("Quality on the held-out day" in text) == ("holdout" in kept)
        assert ("What it listens to" in text) == ("importance" in kept)


def test_a_day_without_a_second_one_before_it_is_said(report: dict[str, Any]) -> None:
    """There was no validation day, so nothing was stopped or calibrated."""
    alone = changed(report, "data.validation", None)
    for point in alone["curve"]:
        point["validation_log_loss"] = None
    text = Page(render_card(alone, {}, {})).text
    assert "There was no second day before the held-out one" in text and "validation day" not in text
    assert "There was no second day" not in Page(render_card(report, {}, {})).text


def test_a_day_without_a_positive_has_a_card(report: dict[str, Any]) -> None:
    """What is not defined is left out, and nothing is divided by none."""
    none = {"positives": 0, "normalised_entropy": None, "auc": None, "predicted_to_observed": None}
    empty = {"holdout": {**report["holdout"], **none}, "roc": [], "precision_recall": []}
    text = Page(render_card({**report, **empty}, {}, {})).text
    assert "Few positives: 0" in text and "Nothing is known" in text


def test_names_from_the_data_are_text(report: dict[str, Any]) -> None:
    """A feature, a word, a slice or a version that is markup, a template or a formula is shown as it is written."""
    hostile = json.loads(json.dumps(report).replace('"rate"', json.dumps(HOSTILE)))
    hostile["slices"][0]["value"] = hostile["model"]["name"] = hostile["drift"]["noise"]["bins"][0]["bin"] = HOSTILE
    hostile["dependence"]["exchange_code"][0]["value"] = HOSTILE
    hostile["leaks"] = [{"feature": HOSTILE, "kind": "auc", "value": 1, "bound": 0.9, "message": HOSTILE}]
    hostile["parameters"] = {HOSTILE: HOSTILE}
    page = Page(render_card(hostile, {f"{HOSTILE}_1/2026-11-20": {"rows": 1}}, {"revision": HOSTILE}))
    assert not {tag for tag, _ in page.tags} & {"script"}
    assert page.text.count(HOSTILE) > 10
    labels = [attributes.get("aria-label") or "" for tag, attributes in page.tags if tag == "svg"]
    assert f"What {HOSTILE} multiplies the odds by." in labels


def level(report: dict[str, Any], title: str) -> str:
    """The level of the verdict whose title begins so."""
    (found,) = [one.level for one in verdicts(report) if one.title.startswith(title)]
    return found


def test_what_is_said_first_follows_from_the_intervals(report: dict[str, Any]) -> None:
    """Off and known to be off is bad; off by what chance makes is not; worse than simple is not praised."""
    many = changed(report, "holdout", {**report["holdout"], "rows": 500_000, "positives": 5_000, "auc": 0.7})
    assert level(changed(many, "holdout.predicted_to_observed", 1.01), "Calibrated") == "good"
    assert level(changed(many, "holdout.predicted_to_observed", 1.05), "A little off") == "watch"
    assert level(changed(many, "holdout.predicted_to_observed", 0.8), "Miscalibrated") == "bad"
    few = changed(many, "holdout.positives", 20)
    assert level(changed(few, "holdout.predicted_to_observed", 0.8), "Calibrated, as far as") == "watch"
    assert level(few, "Few positives: 20") == "watch" and level(many, "How sure") == "plain"
    simple = {**report["baseline"], "normalised_entropy": 0.9}
    many["baseline"] = simple
    assert level(changed(many, "holdout.normalised_entropy", 0.85), "Better than a simple model") == "good"
    assert level(changed({**few, "baseline": simple}, "holdout.normalised_entropy", 0.85), "Perhaps better") == "watch"
    assert level(changed(many, "holdout.normalised_entropy", 0.95), "No better than a simple") == "watch"
    assert level(changed(many, "holdout.normalised_entropy", 1.05), "Worse than knowing nothing") == "bad"
    leak = [{"feature": "rate", "message": "rate alone has AUC 0.99."}]
    assert level(changed(report, "leaks", leak), "A feature may know the answer") == "bad"
    assert "rate alone has AUC 0.99." in Page(render_card(changed(report, "leaks", leak), {}, {})).text
    drifted = changed(report, "drift", {"rate": {"psi": 0.3, "bins": []}, "noise": {"psi": 0.01, "bins": []}})
    assert level(drifted, "A feature drifted") == "watch"
    assert level(report, "The features are as they were") == "good"


def make_slice(low: float, high: float) -> dict[str, Any]:
    ratio = math.sqrt(low * high)
    kept = {"column": "hour", "value": "5", "rows": 10, "positives": 5, "predicted": 0.1, "observed": 0.1}
    return {**kept, "predicted_to_observed": ratio, "low": low, "high": high}


def test_slices_are_judged_by_how_many_would_be_off_by_chance() -> None:
    """One in twenty is chance; a fifth is not. The farthest is the one that is surest to be off."""
    right, off = make_slice(0.9, 1.2), make_slice(1.1, 4.0)
    far = {**make_slice(0.5, 0.6), "value": "far"}
    assert level({"slices": [right] * 19 + [off]}, "Right in its parts") == "good"
    assert level({"slices": [right] * 16 + [off] * 3 + [far]}, "Some parts are off") == "watch"
    (told,) = verdicts({"slices": [right] * 16 + [off] * 3 + [far]})
    assert "In 4 of 20 slices" in told.text and "Farthest off is hour = far: 0.55 (0.50 to 0.60, 5 pos" in told.text
    page = render_card({"slices": [right, off, {**right, "predicted_to_observed": None, "high": None}]}, {}, {})
    assert page.count(b'class="outside"') == 1


def test_intervals_are_those_of_the_literature() -> None:
    """The exact Poisson interval of 10 is 4.80 to 18.39; few positives make it wide, none leave it open."""
    low, high = count_interval(10)
    assert (low, high) == (pytest.approx(4.795, rel=0.01), pytest.approx(18.39, rel=0.01))
    assert count_interval(0) == (0.0, pytest.approx(3.689, rel=0.05))
    low, high = ratio_interval(1.0, 287)
    assert (low, high) == (pytest.approx(0.891, abs=0.002), pytest.approx(1.126, abs=0.003))
    low, high = auc_interval(0.7, 287, 9713)
    assert (high - low) / 2 == pytest.approx(1.96 * 0.0165, rel=0.1)


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_shows_it(report: dict[str, Any], tmp_path: Path) -> None:
    """At the width of a phone and of a desk nothing is wider than the page, and the browser complains of nothing."""
    wide = changed(report, "slices", [{**one, "value": "wide" * 30} for one in report["slices"]])
    # The page forbids scripts, so the copy that measures itself forbids nothing.
    page = re.sub(r"<meta http-equiv=[^>]*>", "", render_card(wide, lineage(), COST).decode())
    sizes = "`${document.documentElement.scrollWidth} of ${document.documentElement.clientWidth}`"
    script = f"<script>parent.postMessage({sizes},'*')</script></body>"
    (tmp_path / "card.html").write_text(page.replace("</body>", script))
    frames = [f'<iframe src="card.html" style="width:{width}px;height:800px;border:0"></iframe>' for width in WIDTHS]
    heard = "<script>onmessage=one=>{document.body.append('measured '+one.data+';')}</script>"
    (tmp_path / "frames.html").write_text(f"<!doctype html><meta charset=utf-8><body>{heard}{''.join(frames)}")
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM,
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *(f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--log-level=0"),
            *("--virtual-time-budget=3000", "--window-size=1400,900", "--hide-scrollbars", "--dump-dom"),
            (tmp_path / "frames.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = sorted(tuple(map(int, pair)) for pair in re.findall(r"measured (\d+) of (\d+);", done.stdout))
    assert [seen for _, seen in found] == list(WIDTHS), done.stderr[-2000:]
    assert all(needed <= seen for needed, seen in found), found
    assert "CONSOLE" not in done.stderr
