"""How a task is named: luigi's words, and shorter ones where only one thing can be meant."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from console.asked import newest_day, task_of
from tests.console.lake import EXPERIMENT, answer, inside
from tests.e2e.folder import DAY, Folder
from tests.tasks.small import arrive, small_folder

HOUR = f"{DAY}T05"
BUILD = f"FeatureBuild(table=click_rate, date={DAY})"
LOAD = f"BigQueryLoad(event=click, hour={HOUR})"
EXPORT = f"ExportModel(experiment=click_rate_baseline, arm=%s, date={DAY})"


def meant(folder: Folder, words: Sequence[str]) -> str:
    with inside(folder):
        return str(task_of(words))


@pytest.mark.parametrize(
    ("words", "task"),
    [
        (("FeatureBuild", "--table", "click_rate", "--date", DAY), BUILD),
        (("FeatureBuild", "--table=click_rate", f"--date={DAY}"), BUILD),
        (("--date", DAY, "FeatureBuild", "--table", "click_rate"), BUILD),
        (("FeatureBuild", "click_rate", DAY), BUILD),
        (("FeatureBuild", DAY, "click_rate"), BUILD),
        (("click_rate", DAY), BUILD),
        (("click_rate", "--date", DAY), BUILD),
        (("BigQueryLoad", "--event", "click", "--hour", HOUR), LOAD),
        (("click", HOUR), LOAD),
        ((f"click {HOUR}",), LOAD),
        (("S3LogIngest", "click", HOUR), f"S3LogIngest(event=click, hour={HOUR})"),
        (("RawLog", "click", HOUR), f"RawLog(event=click, hour={HOUR})"),
        (("click_rate_baseline", DAY), EXPORT % "control"),
        (("click_rate_baseline/deeper", DAY), EXPORT % "deeper"),
        (("ExportModel", "click_rate_baseline/deeper", DAY), EXPORT % "deeper"),
        (("ExportModel", "click_rate_baseline", "deeper", DAY), EXPORT % "deeper"),
        (("ExportModel", "click_rate_baseline", DAY), EXPORT % "control"),
        (("TrainModel", "click_rate_baseline/deeper", DAY), (EXPORT % "deeper").replace("Export", "Train")),
        (("train", "click_rate_baseline", DAY), (EXPORT % "control").replace("Export", "Train")),
        (("DailyPipeline", DAY), f"DailyPipeline(date={DAY})"),
        (("daily", DAY), f"DailyPipeline(date={DAY})"),
        (("--date", DAY), f"DailyPipeline(date={DAY})"),
        (("hourlyclickrate", DAY), f"HourlyClickRate(date={DAY}, least_impressions=100)"),
    ],
    ids=" ".join,
)
def test_the_words_mean_one_task(made: Folder, words: tuple[str, ...], task: str) -> None:
    """Long forms are luigi's; in the short ones parts may stand in any order."""
    assert meant(made, words) == task


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("StepTask", DAY), ("unknown task 'StepTask'",)),
        (("click_rte", DAY), ("unknown task 'click_rte'", "did you mean click_rate")),
        (("FeatureBuild", "click_rte", DAY), ("unknown table 'click_rte'", "click_rate")),
        (("click_rate_baseline/deep", DAY), ("unknown arm 'deep'", "did you mean deeper?")),
        (
            ("FeatureBuild", "--tabel", "click_rate"),
            ("unknown parameter of FeatureBuild 'tabel'", "did you mean table?"),
        ),
        (("FeatureBuild", "click_rate", "--date"), ("--date needs a value",)),
        (("click_rate", HOUR), ("FeatureBuild does not know what", HOUR, "--table, --date")),
        (("click", DAY), ("BigQueryLoad does not know what", DAY, "--event, --hour")),
        (("click_rate", DAY, "2026-11-19"), ("FeatureBuild does not know what '2026-11-19' is",)),
        (("click_rate", "18.11.2026"), ("FeatureBuild does not know what '18.11.2026' is",)),
        (("click_rate", "2026-11-31"), ("'2026-11-31' is not a day",)),
        (("click_rate", "2026-11-16"), ("2026-11-16 is before the first day of logs",)),
        (("FeatureBuild", DAY), ("FeatureBuild", "table")),
        (("ex", DAY), ("ExportModel",)),
    ],
    ids=lambda value: " ".join(value) if value and value[0][0].isalpha() else None,
)
def test_what_cannot_be_meant_is_told_in_one_sentence(
    made: Folder, words: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    """The word that is wrong is named, with what is near or what is taken; nothing is answered."""
    told = answer(made, "why", *words)
    assert (told.code, told.out) == (1, "")
    assert told.err.startswith("error: ") and told.err.count("\n") == 1, told.err
    for part in parts:
        assert part in told.err


def test_a_name_of_two_things_is_not_guessed(own: Folder) -> None:
    """A table and an experiment may have one name; the message tells both, and luigi's word decides."""
    (own.path / "package" / "experiments" / "click_rate.yaml").write_text(EXPERIMENT)
    told = answer(own, "where", "click_rate", DAY)
    assert (told.code, told.out) == (1, "")
    assert "click_rate may mean ExportModel (the experiment) or FeatureBuild (the table)" in told.err
    assert meant(own, ["FeatureBuild", "click_rate", DAY]) == BUILD


def test_without_a_day_the_newest_that_can_be_made_is_meant(tmp_path: Path) -> None:
    """A day whose logs have all arrived, made or not; days with a gap are passed over; an hour is never guessed."""
    today = datetime.now(UTC).date()
    days = [str(today - timedelta(days=back)) for back in (5, 4, 3, 2)]
    folder = small_folder(tmp_path / "work")
    arrive(folder, *days[:3])
    arrive(folder, days[3], hours=range(23))
    only_these = {**folder.settings, "first_date": days[0]}
    folder = Folder(folder.path, **only_these)
    assert meant(folder, ["clicks_daily"]) == f"FeatureBuild(table=clicks_daily, date={days[2]})"
    assert meant(folder, []) == f"DailyPipeline(date={days[2]})"
    with inside(folder):
        assert str(newest_day()) == days[2]
    told = answer(folder, "plan", "click")
    assert told.err == f"error: BigQueryLoad is of an hour; add one, as {days[2]}T05.\n"


def test_without_a_day_what_is_looked_at_is_the_newest_that_is_there(made: Folder) -> None:
    """What bidders look up tomorrow is there for tomorrow already."""
    days = {name.rpartition("/")[2] for name in made.receipts() if name.startswith("campaign_click_rate_")}
    with inside(made):
        assert str(newest_day()) < max(days)
        assert task_of(["campaign_click_rate"]).date == newest_day()
    for name in ("show", "where", "why"):
        told = answer(made, name, "campaign_click_rate")
        assert (told.code, max(days) in told.out) == (0, True), told.out + told.err
    assert f"HourlyClickRate(date={DAY}" in answer(made, "why", "hourly_click_rate").out  # nothing is there


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--set", "dps.environment=production", "where", DAY), "unknown section of --set 'dps': did you mean dsp"),
        (("--set", "dsp.environmen=x", "models"), "unknown setting of [dsp] 'environmen': did you mean environment?"),
        (
            ("--set", "bigquery.projekt=x", "plan", DAY),
            "unknown setting of [bigquery] 'projekt': did you mean project?",
        ),
        (("plan", "--set", "dsp.environment=x"), "--set stands before the command, as in `dsp --set "),
        (("models", "--set", "dsp.environment=x"), "--set stands before the command, as in `dsp --set "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_setting_that_nobody_reads_is_refused(made: Folder, words: tuple[str, ...], sentence: str) -> None:
    """A slip of the pen would run against the environment that was not meant."""
    told = answer(made, *words)
    assert (told.code != 0, told.out) == (True, "")
    assert sentence in told.err
    assert answer(made, "--set", "dsp.first-date=2026-11-17", "--set", "core.workers=1", "models").code == 0


def test_an_unknown_name_in_the_file_of_settings_is_refused(own: Folder) -> None:
    """In our sections; every command says so, and luigi's."""
    config = own.path / "luigi.cfg"
    config.write_text(config.read_text().replace("[dsp]", "[dsp]\nthread = 3", 1))
    told = answer(own, "models")
    assert (told.code, told.err) == (1, "error: unknown setting of [dsp] 'thread': did you mean threads?\n")
    done = own.luigi("FeatureBuild", "--table", "click_rate", "--date", DAY)
    assert "unknown setting of [dsp] 'thread'" in done.errors[0]


def test_a_folder_without_settings_says_so(made: Folder, tmp_path: Path) -> None:
    """The setting that is missed first is not what is missing."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("dsp")), "models"],
        cwd=tmp_path,
        env=made.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: [dsp] mode is not set, as {tmp_path} has no luigi.cfg; go to the folder")


def test_help_needs_no_engine(made: Folder) -> None:
    """`dsp --help` lists all commands, and none of the libraries that are slow to import is there by then."""
    code = (
        "import sys\nfrom console import dsp\nsys.argv = ['dsp', '--help']\ntry:\n    dsp.main()\n"
        "except SystemExit as ended:\n    assert not ended.code\n"
        "print('loaded:', *sorted({'duckdb', 'pyarrow', 'xgboost', 'sqlglot', 'boto3'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=made.path, env=made.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded:"
    for name in ("diff", "plan", "rerun", "show", "where", "why"):
        assert f"  {name} " in done.stdout


@pytest.mark.parametrize("name", ["diff", "plan", "rerun", "show", "where", "why"])
def test_each_command_has_help(made: Folder, name: str) -> None:
    """It says how the command is used, and asks nothing of settings or lake."""
    told = answer(made, name, "--help")
    assert told.code == 0
    assert told.out.startswith(f"Usage: dsp {name} [OPTIONS]")
    assert ("[TASK]" in told.out.splitlines()[0]) is (name == "plan")
    assert not told.err


def test_the_installed_command_tells_errors_in_one_sentence(made: Folder) -> None:
    """A process of its own: exit code 1, nothing on standard output, no traceback."""
    told = made.dsp("plan", "click_rte", DAY)
    assert (told.code, told.out) == (1, "")
    assert told.err.startswith("error: unknown task 'click_rte'") and told.err.count("\n") == 1
