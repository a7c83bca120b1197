"""What bad input gets from a real `luigi` command: one sentence that names the thing and the cure."""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.folder import DAY, FIRST, OUTCOMES, Done, Folder, only

HOUR = f"{FIRST}T05"
TRAIN = ("TrainModel", "--experiment", "click_rate_baseline", "--date", DAY)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A folder with no logs yet."""
    return Folder(tmp_path / "work")


def assert_told(done: Done, code: int, *parts: str) -> None:
    """It ended with the code, said one sentence with these parts, and showed no traceback."""
    assert done.code == code, done.text
    assert "Traceback" not in done.text, done.text
    assert "Uncaught" not in done.text, done.text
    assert len(done.errors) == 1, done.text
    for part in parts:
        assert part in done.errors[0]


@pytest.mark.parametrize(
    ("words", "code", "parts"),
    [
        (("S3LogIngest", "--event", "clik", "--hour", HOUR), 40, ("unknown event 'clik'", "did you mean click?")),
        (("BigQueryLoad", "--event", "click", "--hour", "2026-11-18 05"), 40, ("not an hour", "2026-11-21T05")),
        (("DailyPipeline", "--date", "18.11.2026"), 40, ("'18.11.2026' is not a day", "2026-11-21")),
        (("DailyPipeline", "--date", "2026-02-30"), 40, ("'2026-02-30' is not a day",)),
        (("DailyPipeline", "--date", "2200-01-01"), 40, ("2200-01-01 is in the future",)),
        (("DailyPipeline", "--date", "2026-11-16"), 40, ("2026-11-16 is before the first day of logs", "first_date")),
        ((*TRAIN[:3], "--date", str(FIRST)), 40, ("no day to train on before 2026-11-17", "take a later day")),
        (("Restate", "--date", "2026-11-16"), 40, ("before the first day of logs",)),
        (("S3LogIngest", "--event", "click", "--hour", "2026-11-16T00"), 40, ("before the first day of logs",)),
        (("DailyPipeline",), 40, ("DailyPipeline needs --date",)),
        (("DailyPipelin", "--date", DAY), 40, ("unknown task 'DailyPipelin'", "did you mean DailyPipeline?")),
        (("FeatureBuild", "--table", "click", "--date", DAY), 40, ("click is an event", "BigQueryLoad")),
        (("FeatureBuild", "--table", "click_rte", "--date", DAY), 40, ("unknown table 'click_rte'", "click_rate")),
        ((*TRAIN[:2], "click_rate_basline", *TRAIN[3:]), 40, ("unknown experiment", "click_rate_baseline")),
        ((*TRAIN, "--arm", "deep"), 40, ("unknown arm 'deep'", "did you mean deeper?")),
        (("DailyPipeline", "--date", DAY, "--dsp-source", "simulatr"), 40, ("unknown source", "simulator")),
        (("DailyPipeline", "--date", DAY, "--dsp-mode", "clod"), 40, ("[dsp] mode is 'clod'", "local or cloud")),
        (("DailyPipeline", "--date", DAY, "--dsp-threads", "two"), 40, ("[dsp] threads", "'two'")),
        (("DailyPipeline", "--date", DAY, "--dsp-max-rejected-share", "5"), 40, ("max_rejected_share is 5", "0 to 1")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) and value and value[0][0].isupper() else None,
)
def test_a_wrong_word_is_told_in_one_sentence(
    folder: Folder, words: tuple[str, ...], code: int, parts: tuple[str, ...]
) -> None:
    """What is mistyped is named, what is near is offered, and nothing is written."""
    assert_told(folder.luigi(*words), code, *parts)
    assert not folder.files()


def test_the_name_of_an_option_is_written_out(folder: Folder) -> None:
    """What only begins like one is a slip of the hand, not a setting."""
    done = folder.luigi("DailyPipeline", "--date", DAY, "--dsp-lak", "elsewhere")
    assert (done.code, "unrecognized arguments: --dsp-lak elsewhere" in done.text) == (2, True), done.text
    assert not folder.files()


@pytest.mark.parametrize("setting", ["mode", "lake", "raw", "source", "first_date"])
def test_a_missing_setting_is_named(tmp_path: Path, setting: str) -> None:
    """The sentence says which setting of [dsp] is not there and where it is given."""
    folder = Folder(tmp_path / "work", **{setting: ""})
    assert_told(folder.luigi("DailyPipeline", "--date", DAY), 40, f"[dsp] {setting} is not set", "luigi.cfg")


GIVEN = {"mode": "local", "lake": "lake", "raw": "raw", "source": "simulator", "first-date": str(FIRST)}


def test_without_luigi_cfg_there_is_a_sentence_too(folder: Folder) -> None:
    """In a folder that has none luigi would set logging up by itself, and end most runs that fail with 0."""
    (folder.path / "luigi.cfg").unlink()
    assert_told(folder.luigi("DailyPipeline", "--date", DAY), 40, "[dsp] mode is not set", "has no luigi.cfg")
    options = [word for name, value in GIVEN.items() for word in (f"--dsp-{name}", value)]
    assert folder.luigi("DailyPipeline", "--date", DAY, *options).code == 20
    write_clicks(folder, [b"nonsense\n"])
    assert_told(folder.luigi(*INGEST, *options), 30, "1 of 1 lines")


SQL, MODEL = "features/campaign_daily.sql", "models/click_rate.py"


@pytest.mark.parametrize(
    ("file", "old", "new", "parts"),
    [
        (SQL, "-- reads: impression [-1, 0], click [-1, 0]", "-- reads: impression -1..0", ("campaign_daily.sql:3",)),
        (SQL, "FROM impression\n", "FROM impresion\n", ("campaign_daily.sql:", "impresion")),
        (SQL, "FROM impression\n", "FROM bid\n", ("campaign_daily.sql:", "bid")),
        (SQL, "COUNTIF(DATE(impression.served_at) = @date)", "APPROX_COUNT_DISTINCT(1)", ("portable",)),
        ("experiments/click_rate_baseline.yaml", "train_days: 3", "train_days: three", (".yaml:3", "train_days")),
        ("experiments/click_rate_baseline.yaml", "serve: control", "serve: contrl", (".yaml:4", "control")),
        ("events/sources/simulator.yaml", "format: json", "format: jsn", ("simulator.yaml:2",)),
        ("events/sources/simulator.yaml", "      won_at:", "      one_at:", ("simulator.yaml:", "one_at")),
        ("models/click_rate.py", "model = Model(", "model = Modle(", ("click_rate.py", "Modle")),
        ("models/click_rate.py", "model = Model(", "model = Model((", ("click_rate.py",)),
        (MODEL, 'number("position")', 'number("positon")', (f"{MODEL}:11", "'positon'", "did you mean position")),
        (MODEL, 'number("position")', 'category("impression_id")', (f"{MODEL}:11", "impression_id is the key")),
    ],
)
def test_a_mistake_of_the_team_is_told_with_its_file(
    folder: Folder, file: str, old: str, new: str, parts: tuple[str, ...]
) -> None:
    """SQL, YAML and model files are read before anything runs; the sentence names the file, and the line if one is."""
    path = folder.package() / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert_told(folder.luigi("DailyPipeline", "--date", DAY, "--dsp-package", "package"), 40, *parts)
    assert not folder.files()


def test_the_traceback_is_shown_when_asked(folder: Folder) -> None:
    """--dsp-traceback is for whoever mends the pipeline itself."""
    done = folder.luigi("FeatureBuild", "--table", "none", "--date", DAY, "--dsp-traceback")
    assert done.code == 40
    assert "Traceback (most recent call last)" in done.text
    assert "UnknownNameError" in done.text


def write_clicks(folder: Folder, lines: list[bytes]) -> Path:
    path = folder.raw / "click" / str(FIRST) / "05-0.jsonl.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(b"".join(lines), mtime=0))
    return path


def click(number: int) -> bytes:
    at = datetime(FIRST.year, FIRST.month, FIRST.day, 5, 30, tzinfo=UTC)
    return json.dumps({"id": f"c{number}", "imp": f"i{number}", "t": int(at.timestamp() * 1000)}).encode() + b"\n"


INGEST = ("S3LogIngest", "--event", "click", "--hour", HOUR)


def test_a_truncated_file_is_named(folder: Folder) -> None:
    """A gzip file that ends too early fails its hour, and nothing of it is kept."""
    path = write_clicks(folder, [click(number) for number in range(500)])
    path.write_bytes(path.read_bytes()[:-300])
    assert_told(folder.luigi(*INGEST), 30, f"click/{FIRST}/05-0.jsonl.gz", "S3LogIngest(event=click")
    assert not folder.receipts()


def test_too_many_rejects_say_how_many_why_and_where(folder: Folder) -> None:
    """The quarantine that the sentence names is there, with the lines as they came."""
    write_clicks(folder, [click(number) for number in range(80)] + [b"nonsense\n"] * 20)
    done = folder.luigi(*INGEST)
    assert_told(done, 30, "20 of 100", "malformed", "max_rejected_share")
    named = re.search(r"refused/\S+\.jsonl\.gz", done.errors[0])
    assert named
    with gzip.open(folder.lake / named[0], "rt") as lines:
        assert sum("nonsense" in line for line in lines) == 20
    assert not folder.receipts()


def test_a_raised_share_lets_the_rest_in(folder: Folder) -> None:
    """The cure that the sentence offers helps."""
    write_clicks(folder, [click(number) for number in range(80)] + [b"nonsense\n"] * 20)
    assert folder.luigi(*INGEST, "--dsp-max-rejected-share", "0.2").code == 0
    (receipt,) = folder.receipts().values()
    assert (receipt["rows"], receipt["rejected"]) == (80, {"malformed": 20})


@pytest.mark.parametrize("blocked", ["lake", "lake/warehouse", "lake/receipts", "lake/outputs", "lake/.scratch"])
def test_a_lake_that_cannot_be_written_is_named(folder: Folder, blocked: str) -> None:
    """A file lies where a folder must be: the sentence names the place and the setting."""
    write_clicks(folder, [click(1)])
    (folder.path / blocked).parent.mkdir(exist_ok=True)
    (folder.path / blocked).write_text("a file")
    done = folder.luigi("BigQueryLoad", *INGEST[1:])
    code = 40 if blocked in ("lake", "lake/.scratch") else 30  # these are looked at before anything is planned
    assert_told(done, code, str(folder.path / blocked), "[dsp] lake")


def test_logs_that_have_not_arrived_end_the_run(folder: Folder) -> None:
    """Which event, which hours, what to do; the code is that of missing data."""
    done = folder.luigi("DailyPipeline", "--date", DAY)
    assert done.code == 20, done.text
    assert "Traceback" not in done.text
    told = {line.split(" hours of ")[1].split()[0]: line for line in done.errors}
    assert set(told) == {"bid", "win", "impression", "click", "conversion"}
    assert "72 hours of click logs have not arrived (2026-11-17T00 … 2026-11-19T23)" in told["click"]
    assert f"deliver {folder.raw}/click/2026-11-17/00-*.jsonl.gz" in told["click"]


def test_an_open_label_window_is_told(folder: Folder) -> None:
    """All of the day has arrived, but not the next day's clicks: the day is not mature."""
    folder.simulate(days=2, impressions_per_day=200, events=OUTCOMES)
    only(folder.package(), *OUTCOMES)
    done = folder.luigi("DailyPipeline", "--date", DAY, "--dsp-package", "package")
    assert done.code == 20, done.text
    assert len(done.errors) == 1, done.text
    assert "24 hours of click logs have not arrived (2026-11-19T00 … 2026-11-19T23)" in done.errors[0]


def test_today_is_waited_for(tmp_path: Path) -> None:
    """Today has hours to come: the sentence says until when to wait."""
    today = datetime.now(UTC).date()
    folder = Folder(tmp_path / "work", first_date=str(today - timedelta(days=1)))
    done = folder.luigi("DailyPipeline", "--date", str(today))
    assert done.code == 20, done.text
    assert any(f"over, at {today + timedelta(days=1)} 23:59 UTC" in line and "click" in line for line in done.errors)


def test_nothing_is_left_outside_the_folder(folder: Folder) -> None:
    """HOME and TMPDIR stay empty, whether a run ends well or not."""
    write_clicks(folder, [click(1)])
    assert folder.luigi("BigQueryLoad", *INGEST[1:]).code == 0
    assert folder.luigi("DailyPipeline", "--date", DAY).code == 20
    assert [*folder.home.rglob("*"), *folder.tmp.rglob("*")] == []
    assert {path.name for path in folder.path.iterdir()} == {"luigi.cfg", "raw", "lake"}
