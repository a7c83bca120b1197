"""dsp doctor: what it finds, and that it goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from console import checks
from console.checks import OK, PROBLEM, WARNING
from console.libraries import fits
from dsp_pipeline.platform import PACKAGE, Platform
from dsp_pipeline.registry.manifest import METRICS
from dsp_pipeline.registry.promotion import short
from dsp_pipeline.registry.registry import BundleRegistry
from dsp_pipeline.settings import Settings
from dsp_pipeline.storage.base import Stored
from dsp_pipeline.storage.local import LocalFolder
from tests.console.lake import answer as dsp
from tests.e2e.folder import FIRST, Answer, Folder
from tests.registry.bundles import IDENTITY, candidate, published
from tests.tasks.small import DAYS, arrive, small_folder

NOBODY = ("--set", "core.scheduler_port=9")  # where no luigid can be


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return small_folder(tmp_path / "work")


def found(answer: Answer) -> dict[str, tuple[str, str]]:
    """State and text by check, the worst of each."""
    assert "Traceback" not in answer.out + answer.err
    told = [(one["check"], one["state"], one["found"]) for one in json.loads(answer.out)]
    order = (OK, WARNING, PROBLEM)
    return {check: (state, text) for check, state, text in sorted(told, key=lambda one: order.index(one[1]))}


def test_all_is_well(folder: Folder) -> None:
    """A line each, in plain letters where it is no terminal; the lake is left as it was."""
    arrive(folder, DAYS[0], hours=range(6))
    answer = folder.dsp(*NOBODY, "doctor")
    assert (answer.code, answer.err, answer.out.isascii()) == (0, "", True)
    lines = {line[3:13].strip(): line for line in answer.out.splitlines()}
    assert [line[:2] for name, line in lines.items() if name not in ("luigid", "disk", "steps")] == ["ok"] * 10
    assert lines["luigid"].startswith("!  luigid     no luigid answers at http://localhost:9; `make ui` starts one")
    assert f"newest click {DAYS[0]}T05" in lines["raw logs"]
    assert "hourly_click_rate.py" in lines["steps"]  # which reads a table that this team does not have
    assert "4 sources, 1 table, 0 models, 0 experiments" in lines["files"]
    assert "0 partitions of click_" in lines["warehouse"]
    assert [name for name in folder.files() if not name.startswith(".")] == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"[dsp\nlake = lake\n", "line: 1 '[dsp"),
        (b"[dsp]\nlake\n", "[line 2]: 'lake"),
        (b"[dsp]\nlake = a\nlake = b\n", "[line 3]: option 'lake' in section 'dsp' already exists"),
        (b"\xff\xfe", "can't decode byte 0xff"),
    ],
)
def test_a_luigi_cfg_that_cannot_be_read_is_told_in_a_sentence(folder: Folder, text: bytes, told: str) -> None:
    """Whatever the command: luigi reads the file when it is imported."""
    (folder.path / "luigi.cfg").write_bytes(text)
    answer = folder.dsp("doctor")
    assert (answer.code, answer.out, answer.err.count("\n")) == (1, "", 1)
    assert answer.err.startswith("error: luigi.cfg cannot be read: ")
    assert told in answer.err.replace("  ", " ")


def test_it_goes_on_after_whatever_is_wrong(folder: Folder) -> None:
    """Each wrong file with its first mistake, raw logs that are nowhere, memory that no machine has."""
    package = folder.path / "package"
    (package / "features" / "broken.sql").write_text("SELECT oops FROM")
    (package / "features" / "wrong.sql").write_text(
        "-- One row per x of @date.\n-- reads: nowhere [0, 0]\n-- key: x\nSELECT"
    )
    (package / "experiments" / "trees.yaml").write_text("model: none\n")
    settings = ("--set", "dsp.raw=nowhere", "--set", "dsp.memory_limit_mb=900000000")
    answer = dsp(folder, *NOBODY, *settings, "doctor", "--json")
    assert answer.code == 1
    told = found(answer)
    assert {check for check, (state, _) in told.items() if state == PROBLEM} == {"files", "raw logs", "memory"}
    files = [one["found"] for one in json.loads(answer.out) if one["check"] == "files"]
    assert [Path(text.partition(":")[0]).name for text in files] == ["broken.sql", "wrong.sql", "trees.yaml"]
    assert told["raw logs"][1].endswith(
        "work/nowhere is not there; give [dsp] raw the folder in which raw logs arrive."
    )
    assert "1 worker of 900,000,000 MB; lower [dsp] memory_limit_mb or [core] workers." in told["memory"][1]
    assert told["store"][0] == OK


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("dsp.lake=/proc/nothing", "/proc/nothing/.scratch cannot be written"),
        ("dsp.first_date=soon", "[dsp] first_date cannot be read"),
        ("dsp.source=nobodys", "unknown source 'nobodys'"),
    ],
)
def test_what_hangs_on_wrong_settings_is_not_looked_at(folder: Folder, setting: str, sentence: str) -> None:
    """The rest is."""
    answer = dsp(folder, *NOBODY, "--set", setting, "doctor", "--json")
    told = found(answer)
    assert (answer.code, told["settings"][0], sentence in told["settings"][1]) == (1, PROBLEM, True)
    assert [told[name][0] for name in ("files", "libraries")] == [OK, OK]
    for name in ("store", "raw logs", "warehouse", "disk", "memory", "steps", "arms"):
        assert told[name] == (WARNING, "not looked at, because the settings are wrong")


def test_whoever_is_told_of_runs_is_looked_for(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """An agent without an address and a Pushgateway that is away are warnings; a webhook is only named."""
    monkeypatch.setenv("DD_AGENT_HOST", "agent.invalid")
    monkeypatch.setenv("DSP_NOTIFY_SLACK_WEBHOOK_URL", "https://hooks.example/hunter2")
    nowhere = ("--set", "metrics.pushgateway=http://127.0.0.1:9")
    answer = dsp(folder, *NOBODY, *nowhere, "doctor", "--json")
    told = [one["found"] for one in json.loads(answer.out) if one["check"] == "watching"]
    agent, gateway = told
    assert agent.startswith("DogStatsD agent agent.invalid:8125: it has no address (")
    assert gateway == "Pushgateway http://127.0.0.1:9: it does not answer (ConnectionError); see docs/monitoring.md."
    monkeypatch.setenv("DD_AGENT_HOST", "127.0.0.1")
    answer = dsp(folder, *NOBODY, "doctor", "--json")
    assert found(answer)["watching"] == (OK, "runs tell DogStatsD agent 127.0.0.1:8125, Slack")
    assert "hunter2" not in answer.out + answer.err


def test_one_mistake_is_told_once(folder: Folder) -> None:
    """Though it is in the way of several checks; each says that it did not come to its end."""
    arrive(folder, DAYS[0], hours=range(1))
    (folder.path / "package" / "features" / "clicks_daily.sql").write_text("SELECT oops FROM")
    package = folder.path / "package"
    shutil.copy(PACKAGE / "models" / "click_rate.py", package / "models")
    model = package / "models" / "click_rate.py"
    model.write_text(model.read_text().replace('table="click_rate"', 'table="clicks_daily"'))
    (package / "experiments" / "one.yaml").write_text("model: click_rate\ntrain_days: 2\narms:\n  a: {rounds: 5}\n")
    answer = dsp(folder, *NOBODY, "doctor", "--json")
    told = [one["found"] for one in json.loads(answer.out) if "clicks_daily.sql" in one["found"]]
    assert (answer.code, len(told)) == (1, 1), answer.out
    assert found(answer)["arms"] == (WARNING, "not looked at to the end, for what is told above")


def test_no_raw_logs_are_a_warning(folder: Folder) -> None:
    """The place is there and nothing has come yet; which is also what a wrong place looks like."""
    folder.raw.mkdir()
    told = found(dsp(folder, *NOBODY, "doctor", "--json"))["raw logs"]
    assert told[0] == WARNING
    assert "newest click none, of the last 40 days since 2026-11-17; look whether [dsp] raw" in told[1]


def test_what_is_served_is_looked_at(folder: Folder) -> None:
    """A bundle that is not whole any more is this environment's problem, and a warning to all others."""
    store = LocalFolder(folder.lake)
    address = published(store, folder.tmp)
    BundleRegistry(store).point("local", IDENTITY.model, candidate(store, address), None)
    told = found(dsp(folder, *NOBODY, "doctor", "--json"))["serving"]
    assert told == (OK, "1 pointer, each at a bundle that is whole")
    for harm in (lambda: (folder.lake / address / METRICS).unlink(), lambda: shutil.rmtree(folder.lake / address)):
        harm()
        answer = dsp(folder, *NOBODY, "doctor", "--json")
        state, text = found(answer)["serving"]
        assert (answer.code, state) == (1, PROBLEM)
        assert f"local points at {IDENTITY.model} {short(address)}: {address}/" in text
        assert f"`dsp rerun ExportModel baseline/control {IDENTITY.date}` makes it again. Until then `dsp" in text
        assert text.endswith(f"--set dsp.environment=local rollback {IDENTITY.model}` serves what was served before.")
        assert (
            found(dsp(folder, *NOBODY, "--set", "dsp.environment=other", "doctor", "--json"))["serving"][0] == WARNING
        )


class Elsewhere(LocalFolder):
    """A store whose clock is two minutes behind."""

    def list(self, prefix: str) -> Iterator[Stored]:
        return (replace(stored, modified=stored.modified - 120) for stored in super().list(prefix))


class Forgetful(LocalFolder):
    """A store that lists nothing."""

    def list(self, prefix: str) -> Iterator[Stored]:
        return iter(())


def one_platform(root: Path, store: type[LocalFolder]) -> Platform:
    raw = root / "raw"
    made = Platform(Settings("local", "local", str(root), str(raw), root / ".scratch", "simulator", FIRST))
    made.store = store(root)
    return made


@pytest.mark.parametrize(
    ("store", "sentence"),
    [
        (Elsewhere, "can be written, and its clock is 120 s away from this machine's"),
        (Forgetful, "was written and is not in the listing."),
    ],
)
def test_a_store_that_is_not_as_it_should_be(store: type[LocalFolder], sentence: str, tmp_path: Path) -> None:
    """What was written for the look is removed all the same."""
    ((state, told),) = checks._store(one_platform(tmp_path, store))
    assert (state, sentence in told) == (PROBLEM, True)
    assert list(LocalFolder(tmp_path).list("")) == []


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it stops a run, and when it will."""
    for free, wanted in ((1e8, PROBLEM), (1e9, WARNING), (1e10, OK)):
        usage = shutil._ntuple_diskusage(int(2e10), int(2e10 - free), int(free))  # type: ignore[attr-defined]
        monkeypatch.setattr(shutil, "disk_usage", lambda _, usage=usage: usage)
        assert [state for state, _ in checks._disk(one_platform(tmp_path, LocalFolder))] == [wanted, wanted]


def test_a_check_that_breaks_is_a_finding() -> None:
    """Whatever it breaks with: nobody who asks for help gets a traceback."""

    def broken() -> Iterator[tuple[str, str]]:
        yield OK, "so far"
        raise RuntimeError("oh\nno")

    assert [(one.state, one.found) for one in checks._guarded("it", broken)] == [
        (OK, "so far"),
        (PROBLEM, "RuntimeError: oh"),
    ]


@pytest.mark.parametrize(
    ("version", "allowed", "whether"),
    [
        ("3.8.1", "<4,>=3.8", True),
        ("4.0", "<4,>=3.8", False),
        ("3.10.0", ">=3.8", True),
        ("3.7.9", ">=3.8", False),
        ("3.3.0rc1", "<3.3,>=3.2", False),
        ("2026.1", ">=2026.1", True),
        ("2", "!=2.0", False),
        ("2.0.0", "==2", True),
        ("1.0", "", True),
    ],
)
def test_versions_are_compared_by_their_numbers(version: str, allowed: str, whether: bool) -> None:
    """Not as text; what is missing counts as 0."""
    assert fits(version, allowed) is whether


def test_another_moment_of_the_clock_is_no_problem(tmp_path: Path) -> None:
    """Stores that tell whole seconds are still in time."""

    class Whole(LocalFolder):
        def list(self, prefix: str) -> Iterator[Stored]:
            return (replace(stored, modified=float(int(stored.modified))) for stored in super().list(prefix))

    ((state, told),) = checks._store(one_platform(tmp_path, Whole))
    assert (state, told) == (OK, f"{tmp_path} can be written; its clock is ours to 1 s")
