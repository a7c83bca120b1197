"""One table says which metrics there are; what shows or watches them names no others."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dsp_pipeline.monitoring.dogstatsd import tag
from dsp_pipeline.monitoring.measured import LEAST_POSITIVES, LEAST_ROWS, MOST_VALUES, of_model
from dsp_pipeline.monitoring.metrics import COUNT, DATADOG, GROUPED_BY, METRICS, PROMETHEUS, Metric
from dsp_pipeline.training.metrics import measure
from dsp_pipeline.training.slices import OTHERS, find_slices
from tests.e2e.folder import PROJECT
from tests.metrics.receivers import TOOLS, tool

MONITORING = PROJECT / "monitoring"
ALERTS = MONITORING / "prometheus" / "alerts.yaml"
DASHBOARD = MONITORING / "datadog" / "dashboard.json"
MONITORS = sorted((MONITORING / "datadog" / "monitors").glob("*.json"))
QUERY = re.compile(r"(?:sum|avg|min|max):(dsp[\w.]*)\{([^}]*)\}(?: by \{([^}]*)\})?(\.as_count\(\))?")


def row(metric: Metric) -> str:
    tags = f"{', '.join(GROUPED_BY[metric.about])} \\| {', '.join(metric.tags)}".removesuffix(" \\| ")
    only = f" ({metric.only} only)" if metric.only else ""
    return f"| `{metric.name}` | {metric.kind} | {metric.unit} | {tags} | {metric.meaning}{only} |"


def test_the_page_for_operators_shows_the_table() -> None:
    """Each metric in its order, with kind, unit, tags and meaning, and no other."""
    shown = [
        line for line in (PROJECT / "docs" / "monitoring.md").read_text().splitlines() if line.startswith("| `dsp.")
    ]
    assert shown == [row(metric) for metric in METRICS.values()]


def test_names_follow_the_conventions_of_both_tools() -> None:
    """Small words with dots, base units in the name, no `_total` on what is no counter, few tags."""
    for metric in METRICS.values():
        assert re.fullmatch(r"dsp(\.[a-z_]+)+", metric.name)
        assert re.fullmatch(r"[a-z_]+", metric.prometheus_name)
        assert metric.name.endswith(".seconds") == (metric.unit == "second"), metric
        assert not metric.name.endswith("total")
        assert metric.kind != COUNT or not metric.only
        assert len(metric.all_tags) == len(set(metric.all_tags)) <= 8


def queries(found: Any) -> Iterator[str]:
    """Every query in a dashboard or monitor."""
    if isinstance(found, dict):
        for name, value in found.items():
            if name == "query" and isinstance(value, str):
                yield value
            yield from queries(value)
    elif isinstance(found, list):
        for one in found:
            yield from queries(one)


@pytest.mark.parametrize("path", [DASHBOARD, *MONITORS], ids=lambda path: path.stem)
def test_datadog_is_asked_for_what_is_sent(path: Path) -> None:
    """Every query names a metric of the table that Datadog gets, and tags that it has; counts are asked as counts."""
    asked = list(queries(json.loads(path.read_text())))
    assert asked
    for query in asked:
        parts = QUERY.findall(query)
        assert len(parts) == query.count("dsp.") > 0, query
        for name, filters, by, as_count in parts:
            metric = METRICS[name]
            assert metric.only != PROMETHEUS
            words = [word.lstrip("$").partition(":")[0] for word in [*filters.split(","), *by.split(",")] if word]
            assert set(words) <= set(metric.all_tags), query
            assert bool(as_count) == (metric.kind == COUNT), query
            assert filters == filters.lower()  # as Datadog keeps tags


def test_monitors_group_by_what_their_messages_name() -> None:
    """{{task.name}} is a hole in a message unless the query is grouped by task."""
    assert MONITORS
    for path in MONITORS:
        monitor = json.loads(path.read_text())
        groups = {word for _, _, by, _ in QUERY.findall(monitor["query"]) for word in by.split(",")}
        named = set(re.findall(r"\{\{(\w+)\.name\}\}", monitor["name"] + monitor["message"]))
        assert named <= groups, path.name
        threshold = re.search(r"(?:<|>=?) ([\d.]+)$", monitor["query"])
        assert threshold
        assert float(threshold[1]) == monitor["options"]["thresholds"]["critical"], path.name


def test_pages_lead_to_a_heading_of_the_docs() -> None:
    """Whatever pages at night says where to read on."""
    text = (PROJECT / "docs" / "monitoring.md").read_text()
    led = [json.loads(path.read_text())["message"] for path in MONITORS]
    headings = {heading for message in led for heading in re.findall(r'"([^"]+)"', message)}
    headings |= set(re.findall(r"docs/monitoring\.md, ([^.]+)\.", ALERTS.read_text()))
    assert len(headings) >= 6
    assert [heading for heading in headings if f"\n### {heading}\n" not in text] == []


def test_datadog_knows_the_shape_of_the_files() -> None:
    """By its own client, whose types are made from the documented schema of the API."""
    python = TOOLS / "venv" / "bin" / "python"
    if not python.exists():
        pytest.skip("skipped: Datadog's client is not there; `make test` gets it")
    checker = Path(__file__).with_name("datadog_schema.py")

    def told(*paths: Path) -> list[str]:
        done = subprocess.run([python, checker, *paths], capture_output=True, text=True, timeout=120, check=True)
        return done.stdout.splitlines()

    assert told(DASHBOARD, *MONITORS) == []


def test_the_check_of_the_shape_finds_mistakes(tmp_path: Path) -> None:
    """A value and three names that there are not, at the top and deep within."""
    python = TOOLS / "venv" / "bin" / "python"
    if not python.exists():
        pytest.skip("skipped: Datadog's client is not there; `make test` gets it")
    board = DASHBOARD.read_text()
    monitor = MONITORS[0].read_text()
    mistakes = (
        (board, '"display_type": "bars"', '"display_type": "pies"'),
        (board, '"layout_type"', '"lay_out"'),
        (board, '"show_legend"', '"shows_legend"'),
        (monitor, '"include_tags"', '"includes_tags"'),
    )
    for number, (text, old, new) in enumerate(mistakes):
        assert old in text
        (tmp_path / f"{number}.json").write_text(text.replace(old, new))
    checker = Path(__file__).with_name("datadog_schema.py")
    for words in (["0.json"], ["1.json"], ["2.json"], [DASHBOARD, "3.json"]):
        done = subprocess.run(
            [python, checker, *words], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
        )
        assert done.stdout, words


def test_alert_rules_say_what_they_shall(tmp_path: Path) -> None:
    """Prometheus itself evaluates them on made-up series, at their borders."""
    promtool = tool("promtool")
    for path in (ALERTS, Path(__file__).with_name("alerts_test.yaml")):
        shutil.copy(path, tmp_path)
    done = subprocess.run(
        [promtool, "test", "rules", "alerts_test.yaml"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tested = set(re.findall(r"alertname: (\w+)", (tmp_path / "alerts_test.yaml").read_text()))
    assert tested == set(re.findall(r"alert: (\w+)", ALERTS.read_text()))


def test_alert_rules_name_what_is_pushed() -> None:
    """Names and labels of the table, of what Prometheus gets."""
    pushed = {metric.prometheus_name: metric for metric in METRICS.values() if metric.only != DATADOG}
    found = re.findall(r"(dsp_\w+)\{([^}]*)\}", ALERTS.read_text())
    assert len(found) >= 9
    for name, labels in found:
        assert set(re.findall(r"(\w+)=", labels)) <= set(pushed[name].all_tags), name


def test_only_big_slices_are_sent() -> None:
    """At most so many values of a column, none of them small, and never the rest together."""
    rng = np.random.default_rng(3)
    rows = 60_000
    exchanges = np.where(rng.random(rows) < 0.8, rng.integers(0, 12, rows), rng.integers(12, 112, rows))
    scores = np.full(rows, 0.05)
    labels = (rng.random(rows) < scores).astype(np.uint8)
    few = np.where(np.arange(rows) < LEAST_ROWS - 1, "small", "big")
    columns = {"exchange": pa.array([f"x{number}" for number in exchanges]), "kind": pa.array(few)}
    slices = [one.as_dict() for one in find_slices(columns, labels, scores)]
    report = {
        "model": {"name": "click_rate", "experiment": "e", "arm": "a", "date": "2026-11-21"},
        "holdout": measure(labels, scores).as_dict(),
        "slices": slices,
    }
    found = [one for one in of_model(report) if one.name == "dsp.model.slice.calibration_ratio"]
    big = [one for one in slices if one["rows"] >= LEAST_ROWS and one["positives"] >= LEAST_POSITIVES]
    sent = [(one.tags["slice"], one.tags["value"]) for one in found]
    assert sent == [
        *[("exchange", one["value"]) for one in big if one["column"] == "exchange"][:MOST_VALUES],
        ("kind", "big"),
    ]
    assert len([one for one in big if one["column"] == "exchange"]) > MOST_VALUES
    assert OTHERS in {one["value"] for one in big}
    assert {one.value for one in found} <= {one["predicted_to_observed"] for one in slices}


def test_a_number_that_the_rows_do_not_define_is_not_sent() -> None:
    """Without a positive there is nothing to rank and no ratio; zero would be a lie."""
    labels, scores = np.zeros(5, dtype=np.uint8), np.full(5, 0.1)
    about = {"name": "click_rate", "experiment": "e", "arm": "a", "date": "2026-11-21"}
    found = of_model({"model": about, "holdout": measure(labels, scores).as_dict(), "slices": []})
    assert [one.name for one in found] == ["dsp.model.day.timestamp.seconds"]


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("(none)", "value:_none_"),
        ("a,b|c#d\nx:1|c", "value:a_b_c_d_x:1_c"),
        ("Größe M", "value:gr__e_m"),
        ("x" * 300, "value:" + "x" * 194),
    ],
)
def test_no_value_of_a_tag_breaks_a_datagram(value: str, sent: str) -> None:
    """A slice may be whatever an exchange wrote; what is sent is what Datadog would make of it."""
    assert tag("value", value) == sent
