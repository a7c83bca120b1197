"""A change tried on a branch with production's data: what it changes is made beside, and production's is not touched.

The tests of this module tell one story in order on one lake, so they stay on one xdist worker (tests/conftest.py).
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dsp_pipeline.errors import SettingsError
from tasks import settings
from tests.e2e.folder import DAY, OUTCOMES, PROJECT, Folder, assert_whole, only, ran, table_of

DAILY = ("DailyPipeline", "--date", DAY)
POINTER = "serving/{}/click_rate.json"
BRANCH = ("--set", "dsp.package=branch", "--set", "dsp.environment=shorter-window")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Production's day is made; the branch is a copy of the team's folders with one line of SQL changed."""
    folder = Folder(tmp_path_factory.mktemp("branch") / "work", package="package", environment="production")
    folder.simulate(events=OUTCOMES, impressions_per_day=300)
    package = folder.package()
    only(package, *OUTCOMES)
    experiment = package / "experiments" / "click_rate_baseline.yaml"
    experiment.write_text("model: click_rate\ntrain_days: 3\nserve: control\narms:\n  control: {rounds: 5}\n")
    done = folder.luigi(*DAILY)
    assert done.code == 0, done.text
    package.rename(folder.path / "branch")
    folder.package()
    for name in ("events/sources/simulator.yaml", "experiments/click_rate_baseline.yaml"):
        (package / name).write_text((folder.path / "branch" / name).read_text())
    sql = folder.path / "branch" / "features" / "campaign_daily.sql"
    old, new = "INTERVAL 24 HOUR", "INTERVAL 12 HOUR"
    assert sql.read_text().count(old) == 1
    sql.write_text(sql.read_text().replace(old, new))
    return folder


def contents(folder: Folder) -> dict[str, tuple[str, int]]:
    """Every file of the lake but locks, with its checksum and the time of its last change."""
    found = {name: folder.lake / name for name in folder.files()}
    return {
        name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for name, path in found.items()
    }


def test_the_plan_is_the_changed_table_and_what_hangs_on_it(folder: Folder) -> None:
    """Before anything runs: its days, those of the table that reads it, the model, and the reasons."""
    told = folder.dsp(*BRANCH, "plan", "--json", "DailyPipeline", DAY)
    assert told.code == 0, told.err
    groups = [one for one in json.loads(told.out)["groups"] if one["state"] != "reused"]
    assert [(one["task"], one["subject"]) for one in groups] == [
        ("FeatureBuild", "campaign_daily"),
        ("FeatureBuild", "campaign_click_rate"),
        ("FeatureBuild", "click_rate"),
        ("TrainModel", "click_rate_baseline/control"),
        ("ExportModel", "click_rate_baseline/control"),
    ]
    assert {one["state"] for one in groups} == {"to build"}
    whys = [" and ".join(one["why"]) for one in groups]
    assert re.fullmatch(r"its SQL changed \([0-9a-f]{12} → [0-9a-f]{12}\)", whys[0])
    reads = ["campaign_daily", "campaign_click_rate", "click_rate", "click_rate"]
    assert whys[1:] == [f"it reads {one}, which changed" for one in reads]
    told = folder.dsp("plan", "DailyPipeline", DAY)
    assert told.out.splitlines()[-1] == f"DailyPipeline(date={DAY}): nothing to build."


def test_the_branch_makes_its_own_and_touches_nothing(folder: Folder) -> None:
    """Every file that was there is byte for byte what it was; the pointer of the branch is the branch's own."""
    before = contents(folder)
    done = folder.luigi(*DAILY, "--dsp-package", "branch", "--dsp-environment", "shorter-window")
    assert done.code == 0, done.text
    made = {re.match(r"(\w+)\((?:table=(\w+))?", one).groups() for one in ran(done.text)}  # type: ignore[union-attr]
    assert made == {
        ("FeatureBuild", "campaign_daily"),
        ("FeatureBuild", "campaign_click_rate"),
        ("FeatureBuild", "click_rate"),
        ("TrainModel", None),
        ("ExportModel", None),
    }
    after = contents(folder)
    assert {name: after.get(name) for name in before} == before
    assert POINTER.format("production") in before
    assert POINTER.format("shorter-window") not in before
    pointers = [json.loads((folder.lake / POINTER.format(one)).read_text()) for one in ("production", "shorter-window")]
    assert pointers[0]["address"] != pointers[1]["address"]
    assert_whole(folder)


def test_the_two_are_compared(folder: Folder) -> None:
    """Production's tables and model against the branch's, each by the version on record."""
    versions = {
        table: sorted(
            {
                (one["created_at"], one["version"])
                for address, one in folder.receipts().items()
                if table_of(address) == table or address.startswith(f"train/{table}/")
            }
        )
        for table in ("click_rate", "click_rate_baseline")
    }
    old = versions["click_rate"][0][1]
    told = folder.dsp(*BRANCH, "diff", "--json", f"click_rate@{old[:6]}/{DAY}", f"click_rate/{DAY}")
    assert told.code == 0, told.err
    said = json.loads(told.out)
    assert [one["of"] for one in said["versions"]] == [
        "table/click_rate",
        "table/campaign_click_rate",
        "table/campaign_daily",
    ]
    (diff,) = said["versions"][2]["files"].values()
    assert [line.strip("-+ ")[-17:-1] for line in diff if line[0] in "-+"] == ["INTERVAL 24 HOUR", "INTERVAL 12 HOUR"]
    assert set(said["found"]["columns"]) <= {"campaign_click_rate_14d"}
    trained, arm = versions["click_rate_baseline"][0][1], "click_rate_baseline/control"
    told = folder.dsp(*BRANCH, "diff", f"{arm}@{trained}/{DAY}", f"{arm}/{DAY}")
    assert told.code == 0, told.err
    assert "held-out log loss" in told.out


def test_after_the_merge_production_reuses_what_the_branch_made(folder: Folder) -> None:
    """The same text is the same version: nothing is made. It is decided whether production serves it, and a person may
    decide otherwise: then only production's pointer moves."""
    before = contents(folder)
    done = folder.luigi(*DAILY, "--dsp-package", "branch")
    assert done.code == 0, done.text
    assert not ran(done.text)
    (decision,) = contents(folder).keys() - before.keys()
    assert decision.startswith("decisions/production/click_rate/")
    assert "is not served: Log loss" in done.text
    promoted = folder.dsp("--set", "dsp.package=branch", "promote", "--yes", "click_rate_baseline/control")
    assert promoted.code == 0, promoted.err
    after = contents(folder)
    assert {name for name in after if after[name] != before.get(name)} == {decision, POINTER.format("production")}
    pointers = [json.loads((folder.lake / POINTER.format(one)).read_text()) for one in ("production", "shorter-window")]
    assert pointers[0]["address"] == pointers[1]["address"]


def git(folder: Path, *words: str) -> None:
    name = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *name, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with one commit, which the code is taken to lie in."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "first")
    monkeypatch.setattr(settings, "PACKAGE", folder)
    monkeypatch.delenv("DSP_REVISION", raising=False)
    monkeypatch.delenv("DSP_BRANCH", raising=False)
    return folder


@pytest.mark.parametrize(
    ("branch", "environment"),
    [
        ("main", "main"),
        ("shorter-window", "shorter-window"),
        ("Feature/X_y", "feature-x_y"),
        ("JIRA-12/Größe", "jira-12-gr-e"),
        ("_mine_", "mine"),
    ],
)
def test_the_branch_gives_the_environment_its_name(repository: Path, branch: str, environment: str) -> None:
    """In the letters that an environment may have."""
    git(repository, "switch", "--quiet", "-C", branch)
    revision, found = settings._code()
    assert found == branch
    assert re.fullmatch(r"[0-9a-f]{40}", revision)
    assert settings._environment_of(found) == environment


def test_no_branch_is_called_as_production(repository: Path) -> None:
    """Whatever its letters; the sentence says what to do."""
    for branch in ("production", "Production"):
        git(repository, "switch", "--quiet", "-C", branch)
        with pytest.raises(SettingsError, match=r"use another branch, or say \[dsp\] environment = production"):
            settings._environment_of(settings._code()[1])


def test_on_no_branch_the_environment_is_local(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A detached commit, no commit, no git, a name without letters; an image says its revision and branch itself."""
    git(repository, "switch", "--quiet", "--detach")
    revision, branch = settings._code()
    assert (len(revision), branch) == (40, "")
    (tmp_path / "new").mkdir()
    git(tmp_path / "new", "init", "--quiet")  # without a commit
    monkeypatch.setattr(settings, "PACKAGE", tmp_path / "new")
    assert settings._code() == ("", "")
    monkeypatch.setattr(settings, "PACKAGE", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert settings._code() == ("", "")
    monkeypatch.setenv("DSP_REVISION", "c0ffee")
    assert settings._code() == ("c0ffee", "")
    monkeypatch.setenv("DSP_BRANCH", "shorter-window")
    assert settings._code() == ("c0ffee", "shorter-window")
    assert settings._environment_of("") == settings._environment_of("ß") == "local"


def test_a_command_takes_the_branch_of_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`environment = branch` is that of the repository that the code lies in, not of the folder that is worked in."""
    code = tmp_path / "code"
    for name in ("dsp_pipeline", "targets", "tasks"):
        shutil.copytree(PROJECT / name, code / name, ignore=shutil.ignore_patterns("__pycache__"))
    git(code, "init", "--quiet")
    git(code, "commit", "--quiet", "--allow-empty", "-m", "first")
    git(code, "switch", "--quiet", "-C", "Feature/X_y")
    folder = Folder(tmp_path / "work", environment="branch")
    git(folder.path, "init", "--quiet")
    monkeypatch.setenv("PYTHONPATH", str(code))
    tell = ("-c", "import sys; from tasks.settings import platform; sys.stdout.write(f'{platform()}')")
    done = folder.python(*tell)
    assert done.code == 0, done.text
    assert " environment=feature-x_y " in done.text
    git(code, "switch", "--quiet", "-C", "production")
    (error,) = folder.luigi(*DAILY).errors
    assert error.startswith("the git branch is called production, as the environment that bidders load from")
