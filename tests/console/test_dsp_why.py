"""`dsp why` and `dsp show`: why an output is not there, or what made it so, down to the raw files."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest

from console.workers import configure
from tasks import HourlyClickRate
from tasks.settings import platform
from tests.console.lake import SQL, answer, edited, inside, shortened, unmade
from tests.e2e.folder import DAY, FIRST, Folder
from tests.tasks.small import DAYS, arrive, small_folder

HOUR = f"{FIRST}T12"


def address_of(folder: Folder, table: str, partition: str = DAY) -> str:
    (found,) = [one for one in folder.receipts() if re.fullmatch(rf"{table}_[0-9a-f]{{12}}/{partition}", one)]
    return found


def test_a_complete_output_tells_what_made_it(made: Folder) -> None:
    """Its rows, its version part by part, and the tree of receipts down to the raw files."""
    told = answer(made, "why", "click_rate", DAY)
    assert told.code == 0, told.err
    receipt = made.receipts()[address_of(made, "click_rate")]
    assert f"FeatureBuild(table=click_rate, date={DAY}) is complete: {receipt['rows']} rows" in told.out
    assert f"Its version {receipt['version']} is made of: " in told.out
    assert "reads campaign_click_rate " in told.out
    assert re.search(r"raw files?: ", told.out)
    said = json.loads(answer(made, "why", "--json", "click_rate", DAY).out)
    assert (said["complete"], said["stale"]) == (True, False)
    assert said["receipt"] == receipt
    ingests = [one for name, one in said["upstream"].items() if name.startswith("ingest/")]
    assert any(given["name"].startswith("raw/") for one in ingests for given in one["inputs"])


def test_an_output_that_is_missing_tells_what_it_needs(own: Folder) -> None:
    """What can be made says how; what cannot says which logs are not there."""
    unmade(own, "campaign_daily", DAY)
    able = answer(own, "why", "campaign_daily", DAY)
    assert able.code == 0, able.err
    assert f"FeatureBuild(table=campaign_daily, date={DAY}) is not complete" in able.out
    assert "has made other days; this one was not made." in able.out
    assert "All that it needs is there." in able.out
    assert f"Make it with `luigi --module tasks FeatureBuild --table campaign_daily --date {DAY}`." in able.out
    given = answer(own, "--set", "dsp.threads=1", "why", "campaign_daily", DAY)
    assert f"tasks FeatureBuild --dsp-threads 1 --table campaign_daily --date {DAY}`." in given.out
    behind = answer(own, "why", "click_rate", "2026-11-19")
    assert "RawLog click 2026-11-20T00 … T23: 24 hours without logs" in behind.out
    assert f"The first of these logs is looked for at {own.raw}/click/2026-11-20/00-" in behind.out
    assert "Make it with" not in behind.out
    said = json.loads(answer(own, "why", "--json", "click_rate", "2026-11-19").out)
    assert said["complete"] is False


def test_an_hour_that_was_refused_tells_where_its_lines_are(tmp_path: Path) -> None:
    """Also where it is only what a table waits for."""
    folder = small_folder(tmp_path / "work")
    arrive(folder, DAYS[0], hours=range(24))
    (log,) = (folder.raw / "click" / str(DAYS[0])).glob("05-*.jsonl.gz")
    log.write_bytes(gzip.compress(b"nonsense\n" * 20))
    hour = f"{DAYS[0]}T05"
    assert folder.luigi("S3LogIngest", "--event", "click", "--hour", hour).code == 30
    (key,) = (str(one.relative_to(folder.lake)) for one in (folder.lake / "refused").rglob("*.gz"))
    said = f"S3LogIngest(event=click, hour={hour}) was refused when it was tried; why is in {key} of the lake."
    for words in (("S3LogIngest", "click", hour), ("BigQueryLoad", "click", hour)):
        assert said in folder.dsp("why", *words).out
    assert "refused" not in folder.dsp("why", "S3LogIngest", "click", f"{DAYS[0]}T06").out


def test_an_hour_with_a_late_file_is_stale(own: Folder) -> None:
    """The file is named, with the cure; what stands on the hour is as it was."""
    (own.raw / "click" / HOUR[:10] / f"{HOUR[11:]}-9.jsonl.gz").write_bytes(gzip.compress(b"", mtime=0))
    told = answer(own, "why", "S3LogIngest", "click", HOUR)
    assert told.code == 0, told.err
    assert f"It is stale: click/{HOUR[:10]}/{HOUR[11:]}-9.jsonl.gz came or changed since" in told.out
    assert json.loads(answer(own, "why", "--json", "S3LogIngest", "click", HOUR).out)["stale"] is True
    for words in (("BigQueryLoad", "click", HOUR), ("click_rate_baseline", DAY)):
        told = answer(own, "why", *words)
        assert "stale" not in told.out
        assert f"Below it, 1 raw file of {FIRST} came or changed after the hour was ingested: click/" in told.out
        assert f"take in with `luigi --module tasks Restate --date {FIRST}`." in told.out
    assert "Below it" not in answer(own, "why", "S3LogIngest", "click", HOUR).out


def test_a_task_of_many_has_no_output(made: Folder) -> None:
    """The sentence says which command lists its tasks."""
    for name in ("why", "show"):
        told = answer(made, name, "DailyPipeline", DAY)
        assert (told.code, told.out) == (1, "")
        assert told.err.startswith("error: DailyPipeline has no output of its own; `dsp ")


def test_a_harmless_change_keeps_what_is_there(own: Folder) -> None:
    """The line that `why` prints, written into the file, makes it the same version; receipts say so from then on.

    It holds for that one text: after the next edit it is refused, with file and line.
    """
    sql = edited(own, SQL, "COUNTIF(DATE(impression.served_at) = @date)", "COUNTIF(@date = DATE(impression.served_at))")
    told = answer(own, "why", "campaign_daily", str(FIRST))
    assert "its SQL changed (" in told.out
    line = re.search(r"compatible_with: [0-9a-f]{12} = [0-9a-f]{12}", told.out)
    assert line, told.out
    head, first, rest = sql.read_text().partition("-- key: ")
    sql.write_text(f"{head}-- {line[0]}\n{first}{rest}")
    assert answer(own, "plan", "DailyPipeline", DAY).out.splitlines()[-1].endswith("nothing to build.")
    before = address_of(own, "campaign_daily", str(FIRST))
    unmade(own, "campaign_daily", DAY)
    done = own.luigi("FeatureBuild", "--table", "campaign_daily", "--date", DAY)
    assert done.code == 0, done.text
    receipt = own.receipts()[address_of(own, "campaign_daily")]
    assert receipt["version"] == own.receipts()[before]["version"]
    assert receipt["compatible_with"] == line[0].removeprefix("compatible_with: ")
    assert "compatible: " in answer(own, "why", "campaign_daily", DAY).out

    edited(own, SQL, "INTERVAL 24 HOUR", "INTERVAL 23 HOUR")
    told = answer(own, "why", "campaign_daily", DAY)
    assert (told.code, told.out) == (1, "")
    number = sql.read_text().split("compatible_with")[0].count("\n") + 1
    assert f"campaign_daily.sql:{number}: `compatible_with` speaks of" in told.err
    assert told.err.count("\n") == 1


def test_a_colleagues_newer_version_is_no_ancestor(own: Folder) -> None:
    """The line names what this environment serves, else production; who serves nothing gets none.

    A branch whose text differs in as little, and was made later, would put its own rows in their place.
    """
    (served,) = {one["version"] for name, one in own.receipts().items() if name.startswith("campaign_daily_")}
    shortened(own)
    with inside(own):
        configure({"dsp.package": "shorter"})
        branch = platform().version("campaign_daily")
        platform().versions.record(branch, "c0ffee")
    edited(own, SQL, "COUNTIF(DATE(impression.served_at) = @date)", "COUNTIF(@date = DATE(impression.served_at))")
    shutil.copytree(own.lake / "serving" / "local", own.lake / "serving" / "production")
    for environment in ("local", "other"):
        words = ("--set", f"dsp.environment={environment}", "why", "campaign_daily", str(FIRST))
        told = answer(own, *words)
        assert f"version {served}, first made " in told.out
        assert f"which {environment if environment == 'local' else 'production'} serves" in told.out
        assert re.search(r"\n    -.* = @date\)", told.out) and re.search(r"\n    \+.*COUNTIF\(@date =", told.out)
        said = json.loads(answer(own, *words[:-2], "--json", *words[-2:]).out)
        assert said["against"] == served
        assert said["keep"] and branch.parts["sql"] not in said["keep"]
    shutil.rmtree(own.lake / "serving")
    told = answer(own, "why", "campaign_daily", str(FIRST))
    assert f"against version {branch.name}" in told.out and "by revision c0ffee, of those on record" in told.out
    assert "compatible_with" not in told.out


def test_what_was_committed_on_this_branch_is_an_ancestor(own: Folder) -> None:
    """Although nobody serves it: its text stands in the history of the file."""

    def git(*words: str) -> None:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        subprocess.run(["git", *who, *words], cwd=own.path, check=True, capture_output=True)

    git("init", "--quiet")
    git("add", "package")
    git("commit", "--quiet", "-m", "first")
    shutil.rmtree(own.lake / "serving")
    edited(own, SQL, "COUNTIF(DATE(impression.served_at) = @date)", "COUNTIF(@date = DATE(impression.served_at))")
    told = answer(own, "why", "campaign_daily", str(FIRST))
    assert "whose text is that of commit " in told.out and "compatible_with: " in told.out


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("S3LogIngest", "click", HOUR), ("ingest/click-", "click_id", "events.parquet", "1 raw file: ")),
        (("click", HOUR), ("click_", "click_id", "ingest/click-")),
        (("campaign_daily", str(FIRST)), ("campaign_id", "impressions", "ingest/impression-")),
        (("TrainModel", "click_rate_baseline", DAY), ("metrics log_loss: ", "score", "model.ubj")),
        (("ExportModel", "click_rate_baseline", DAY), ("bundle: ", "score", "manifest.json", "train/click_rate")),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_each_kind_of_output_is_shown(made: Folder, words: tuple[str, ...], parts: tuple[str, ...]) -> None:
    """A few of its rows, its receipt with its files, and what it was made from."""
    told = answer(made, "show", "--rows", "1", *words)
    assert told.code == 0, told.err
    for part in (*parts, "by revision ", str(made.lake)):
        assert part in told.out
    said = json.loads(answer(made, "show", "--json", "--rows", "1", *words).out)
    assert len(said["rows"]) == 1
    assert said["receipt"]["address"] in made.receipts()


def test_a_step_is_shown(own: Folder) -> None:
    """A function's output is one like the others."""
    done = own.luigi("HourlyClickRate", "--date", DAY)
    assert done.code == 0, done.text
    told = answer(own, "show", "HourlyClickRate", DAY)
    assert told.code == 0, told.err
    assert "step/hourly_click_rate/" in told.out
    assert "parameters least_impressions: 100" in told.out


def test_a_value_is_shown(own: Folder) -> None:
    """What a function gave back that is no rows, in the terminal and in JSON; it has entries."""
    value = {"[b]clicks": 3, "impressions": 5}
    with inside(own):
        step = HourlyClickRate(date=date.fromisoformat(DAY))
        (own.path / "value.json").write_text(json.dumps(value))
        files = {"value.json": own.path / "value.json"}
        platform().outputs.keep(platform().draft(step.output().address, step.version(), []), files, 2)
    told = answer(own, "show", "hourly_click_rate", DAY)
    assert told.code == 0, told.err
    assert told.out.startswith('{\n "[b]clicks": 3,\n "impressions": 5\n}\n')
    assert "2 entries" in told.out and "2 rows" not in told.out
    assert "is complete: 2 entries, " in answer(own, "why", "hourly_click_rate", DAY).out
    said = json.loads(answer(own, "show", "--json", "hourly_click_rate", DAY).out)
    assert (said["value"], said["rows"]) == (value, None)


def test_rows_are_shown_as_they_are(own: Folder) -> None:
    """What stands in square brackets is part of a value, though the terminal's library would take it for markup."""
    file = own.raw / "click" / str(FIRST) / "12-0.jsonl.gz"
    line = json.loads(gzip.decompress(file.read_bytes()).splitlines()[0])
    line["id"] = "[/a][b]"
    file.unlink()
    file.write_bytes(gzip.compress((json.dumps(line) + "\n").encode(), mtime=0))
    assert answer(own, "rerun", "--yes", "S3LogIngest", "click", HOUR).code == 0
    told = answer(own, "show", "S3LogIngest", "click", HOUR)
    assert told.code == 0, told.err
    assert "[/a][b]" in told.out
    file.with_name("12-[b].jsonl.gz").write_bytes(gzip.compress(b"", mtime=0))
    told = answer(own, "why", "S3LogIngest", "click", HOUR)
    assert f"stale: click/{FIRST}/12-[b].jsonl.gz came" in told.out


def test_what_is_not_there_cannot_be_shown(made: Folder) -> None:
    """One sentence that says who knows more."""
    told = answer(made, "show", "campaign_daily", "2026-11-19")
    assert (told.code, told.out) == (1, "")
    assert "is not complete, so there is nothing to show; `dsp why` tells what it needs." in told.err
