"""What goes wrong in the logs is what was asked for, and is counted exactly."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable

import pytest

from dsp_pipeline.events.schema import EVENTS
from dsp_pipeline.simulator import DEMO_FAULTS, Faults, deliver_late, simulate
from tests.simulator.conftest import Folder, write
from tests.simulator.parsing import contents, files_of, judge, lines_of

Fresh = Callable[..., Folder]

HEAVY = Faults(malformed=0.03, not_utf8=0.02, wrong_type=0.05, missing=0.03, duplicates=0.1, late_files=0.3)


@pytest.fixture(scope="module")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A day with all faults in many lines, its late files still held back."""
    return write(tmp_path_factory.mktemp("heavy") / "logs", impressions_per_day=3_000, faults=HEAVY)


def test_faults_in_the_files_are_those_of_the_manifest(heavy: Folder) -> None:
    """An independent reader finds, for each hour and event, the good lines and each fault as often as is written."""
    for hour in heavy.manifest.hours:
        for event in heavy.simulation.events:
            (path,) = files_of(heavy.out, event, hour.hour)
            good, reasons = judge(event, lines_of(path))
            assert (good, reasons) == (hour.rows[event] - hour.late[event], Counter(hour.faults[event]))


def test_every_kind_of_fault_is_there(heavy: Folder) -> None:
    """Each reason occurs in the bid log, near its rate, and each names a column of the schema."""
    found, rows = heavy.manifest.faults["bid"], heavy.manifest.rows["bid"]
    kinds = Counter[str]()
    for reason, count in found.items():
        kind, _, column = reason.partition(":")
        kinds[kind] += count
        assert column == "" or EVENTS["bid"].column(column)
    for kind in ("malformed", "not_utf8", "wrong_type", "missing", "duplicates"):
        assert 0.75 < kinds[kind] / rows / getattr(HEAVY, kind) < 1.25
    assert {"missing:bid_id", "missing:bid_at", "wrong_type:bid_id", "wrong_type:bid_at"} < found.keys()
    assert "wrong_type:bid_price_micros" in found


def test_faulty_lines_are_extra_to_the_good_ones(heavy: Folder, fresh: Fresh) -> None:
    """Every line of the log without faults is in the log with faults, late files included."""
    clean = fresh(impressions_per_day=3_000)
    for hour in clean.manifest.hours:
        for event in clean.simulation.events:
            late = heavy.out / "late" / event / f"{hour.hour:%Y-%m-%d}" / f"{hour.hour:%H}-1.jsonl.gz"
            there = [*files_of(heavy.out, event, hour.hour), *([late] if late.exists() else [])]
            (alone,) = files_of(clean.out, event, hour.hour)
            assert set(lines_of(alone)) <= {line for path in there for line in lines_of(path)}
    assert heavy.manifest.rows == clean.manifest.rows


def test_late_files_are_held_back_and_delivered_once(fresh: Fresh) -> None:
    """Late lines are in no file in place until they are delivered; a second delivery moves nothing."""
    folder = fresh(faults=Faults(late_files=0.4))
    late = folder.manifest.late
    assert late["impression"] > 0
    held = sorted((folder.out / "late").glob("*/*/*.gz"))
    assert sum(len(lines_of(path)) for path in held) == sum(late.values())
    assert all(path.name.endswith("-1.jsonl.gz") for path in held)
    moved = deliver_late(folder.out)
    assert [path.relative_to(folder.out) for path in moved] == [p.relative_to(folder.out / "late") for p in held]
    assert deliver_late(folder.out) == []
    for hour in folder.manifest.hours:
        for event in folder.simulation.events:
            paths = files_of(folder.out, event, hour.hour)
            assert len(paths) == 1 + (hour.late[event] > 0)
            assert judge(event, [line for path in paths for line in lines_of(path)]) == (hour.rows[event], Counter())
    before = contents(folder.out)
    simulate(folder.simulation, folder.out, workers=1)
    assert contents(folder.out) == before


def test_an_hour_without_traffic_has_files_without_lines(small: Folder, fresh: Fresh) -> None:
    """Bids, wins and impressions of the empty hour are files of no lines; all other hours' are as they were."""
    folder = fresh(faults=Faults(empty_hours=(5,)))
    mine, others = contents(folder.out), contents(small.out)
    for event in ("bid", "win", "impression"):
        assert gzip.decompress(mine.pop(f"{event}/2026-11-17/05-0.jsonl.gz")) == b""
        assert folder.manifest.hours[5].rows[event] == 0 < small.manifest.hours[5].rows[event]
    same = [path for path in mine if path.startswith(("bid/", "win/", "impression/"))]
    assert len(same) == 3 * 23 and all(mine[path] == others[path] for path in same)


def test_no_traffic_at_all_is_empty_files(fresh: Fresh) -> None:
    """With zero impressions a day every event has its 24 files, all of no lines."""
    folder = fresh(impressions_per_day=0)
    files = list(folder.out.glob("*/*/*.gz"))
    assert len(files) == 5 * 24 and all(lines_of(path) == [] for path in files)


def test_a_truncated_file_cannot_be_read_to_its_end(small: Folder, fresh: Fresh) -> None:
    """The one file asked for ends too early; every other is as it was."""
    folder = fresh(faults=Faults(truncated_files=(("impression", 3),)))
    mine, others = contents(folder.out), contents(small.out)
    path = "impression/2026-11-17/03-0.jsonl.gz"
    with pytest.raises(EOFError):
        gzip.decompress(mine[path])
    assert others[path].startswith(mine[path]) and 0 < len(mine[path]) < len(others[path])
    assert [name for name in mine if "/" in name and mine[name] != others[name]] == [path]


def test_without_faults_no_line_is_faulty(small: Folder) -> None:
    """The manifest counts none, an independent reader finds none, and nothing is late."""
    assert not any(small.manifest.faults.values()) and not any(small.manifest.late.values())
    assert not (small.out / "late").exists()
    for event in small.simulation.events:
        lines = [line for path in (small.out / event).glob("*/*.gz") for line in lines_of(path)]
        assert judge(event, lines) == (small.manifest.rows[event], Counter())


def test_the_demo_has_small_faults_and_no_broken_file() -> None:
    """Faults of the demo are rare enough that no ingest should refuse a file for them."""
    assert DEMO_FAULTS.truncated_files == ()
    rates = (DEMO_FAULTS.malformed, DEMO_FAULTS.not_utf8, DEMO_FAULTS.wrong_type, DEMO_FAULTS.missing)
    assert all(rate > 0 for rate in rates) and sum(rates) < 0.001
    assert json.loads(json.dumps(DEMO_FAULTS.empty_hours)) == [44]
