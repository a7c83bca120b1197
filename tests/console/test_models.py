"""dsp models, promote and rollback, on small bundles."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from dsp_pipeline.registry.manifest import MANIFEST, METRICS
from dsp_pipeline.registry.pointer import Pointer
from dsp_pipeline.registry.promotion import short
from dsp_pipeline.registry.registry import BundleRegistry
from dsp_pipeline.storage.local import LocalFolder
from tests.console.lake import answer as dsp
from tests.e2e.folder import Folder
from tests.registry.bundles import IDENTITY, candidate, published

MODEL = IDENTITY.model


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "work")


def day(number: int) -> date:
    return IDENTITY.date + timedelta(days=number)


def publish(folder: Folder, number: int, **changes: Any) -> str:
    return published(LocalFolder(folder.lake), folder.tmp, date=day(number), **changes)


def pointer(folder: Folder, environment: str = "local") -> Pointer:
    found = BundleRegistry(LocalFolder(folder.lake)).resolve(environment, MODEL)
    assert found is not None
    return found


def test_models_are_listed_with_who_serves_them(folder: Folder) -> None:
    """Newest day first, with metrics of the held-out day, size and time; in each environment; `held` is said."""
    old, new = publish(folder, 0), publish(folder, 1, arm="deeper")
    publish(folder, 0, model="win_rate", experiment="wins")
    for where, address in (("local", old), ("production", new), ("local", new)):
        assert dsp(folder, "--set", f"dsp.environment={where}", "promote", "--yes", address).code == 0
    assert dsp(folder, "rollback", MODEL).code == 0
    answer = dsp(folder, "models")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert [line for line in lines if "/" not in line] == [MODEL, "win_rate"]
    assert lines[2].split()[:5] == [short(new), "0.50000", "?", "?", "?"]
    assert [line.rstrip().rpartition("  ")[2] for line in lines[2:4]] == ["production", "local (held)"]
    (told,) = json.loads(dsp(folder, "models", MODEL, "--json").out)
    first = told["bundles"][0]
    assert {name: first[name] for name in ("address", "experiment", "arm", "version", "date", "served")} == {
        "address": new,
        "experiment": "baseline",
        "arm": "deeper",
        "version": "abc123",
        "date": str(day(1)),
        "served": [{"environment": "production", "held": False}],
    }
    assert first["metrics"] == {
        "log_loss": 0.5,
        "normalised_entropy": None,
        "auc": None,
        "predicted_to_observed": None,
    }
    assert first["size"] == sum(path.stat().st_size for path in (folder.lake / new).iterdir())
    unknown = dsp(folder, "models", "click_rat")
    assert (unknown.code, unknown.err) == (
        1,
        "error: unknown model 'click_rat': did you mean click_rate or win_rate?\n",
    )


def test_only_the_newest_are_listed_and_read(folder: Folder) -> None:
    """Twenty of a model, and what is served though it is older; --all lists all."""
    addresses = [publish(folder, number) for number in range(23)]
    assert dsp(folder, "promote", "--yes", addresses[0]).code == 0
    (folder.lake / addresses[1] / METRICS).write_text("{")  # is not looked at
    told = json.loads(dsp(folder, "models", "--json").out)[0]
    assert [one["address"] for one in told["bundles"]] == [*reversed(addresses[3:]), addresses[0]]
    assert "and 2 older bundles; --all shows all." in dsp(folder, "models").out
    told = json.loads(dsp(folder, "models", "--all", "--json").out)[0]
    assert [one["address"] for one in told["bundles"]] == addresses[::-1]
    assert set(told["bundles"][-2]["metrics"].values()) == {None}


def test_nothing_published_is_said(folder: Folder) -> None:
    """And how that comes about."""
    answer = folder.dsp("models")
    assert (answer.code, answer.out) == (0, "no bundle is published yet; an experiment's ExportModel publishes one.\n")
    back = folder.dsp("rollback", MODEL)
    assert (back.code, back.err.startswith("error: unknown model served in local 'click_rate'")) == (1, True)


def test_a_pointer_whose_bundle_is_gone_is_shown(folder: Folder) -> None:
    """With what to do; the rest is listed as ever, and promoting from there works."""
    gone, other = publish(folder, 0), publish(folder, 1)
    assert dsp(folder, "promote", "--yes", gone).code == 0
    shutil.rmtree(folder.lake / gone)
    answer = dsp(folder, "models")
    assert (answer.code, short(other) in answer.out) == (1, True)
    again = f"`dsp rerun ExportModel baseline/control {day(0)}` makes it again"
    assert f"local points at {gone}, which is gone: `dsp rollback click_rate`, `dsp promote` another, or {again}." in (
        answer.out
    )
    assert dsp(folder, "--set", "dsp.environment=other", "models").code == 0
    nowhere = dsp(folder, "rollback", MODEL)
    assert (nowhere.code, "local served no other bundle of click_rate before" in nowhere.err) == (1, True)
    assert dsp(folder, "promote", "--yes", "baseline/control").code == 0
    assert (pointer(folder).address, pointer(folder).history) == (other, (gone,))
    lost = dsp(folder, "rollback", MODEL)
    assert lost.code == 1
    assert lost.err.startswith("error: no bundle of click_rate that local served before is whole any more")
    assert pointer(folder).address == other


def test_promoting_shows_both_and_asks(folder: Folder) -> None:
    """Without an answer nothing is changed; other environments never are; the same again is said."""
    old, new = publish(folder, 0), publish(folder, 1)
    production = BundleRegistry(LocalFolder(folder.lake)).point(
        "production", MODEL, candidate(LocalFolder(folder.lake), old), None
    )
    assert dsp(folder, "promote", "--yes", f"baseline/control/{day(0)}").out.endswith(
        f"local serves {short(old)} now.\n"
    )
    asked = dsp(folder, "promote", "baseline/control")
    assert (asked.code, "nothing was changed." in asked.err) == (1, True)
    heads = [line.split()[:3] for line in asked.out.splitlines()[1:3]]
    assert heads == [["from", short(old), "0.50000"], ["to", short(new), "0.50000"]]
    assert pointer(folder).address == old
    assert dsp(folder, "promote", "--yes", short(new)).code == 0
    assert (pointer(folder).address, pointer(folder).history) == (new, (old,))
    assert dsp(folder, "promote", new).out == f"local serves {short(new)} already.\n"
    assert pointer(folder, "production") == production
    (folder.lake / old / MANIFEST).unlink()
    gone = dsp(folder, "promote", "--yes", f"baseline/control/{day(0)}")
    assert (gone.code, "unknown bundle" in gone.err) == (1, True)


def test_who_decides_upon_what_is_not_so_any_more_changes_nothing(folder: Folder) -> None:
    """The pointer is moved by somebody else between the question and the answer."""
    old, new, theirs = (publish(folder, number) for number in range(3))
    assert dsp(folder, "promote", "--yes", old).code == 0
    mine = subprocess.Popen(
        [str(Path(sys.executable).with_name("dsp")), "promote", new],
        cwd=folder.path,
        env=folder.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert mine.stdin is not None and mine.stdout is not None
    shown = b""
    while b"Go on?" not in shown:
        read = os.read(mine.stdout.fileno(), 4096)
        assert read, shown
        shown += read
    assert dsp(folder, "promote", "--yes", theirs).code == 0
    _, said = mine.communicate(b"y\n", timeout=60)
    assert mine.returncode == 1
    assert b"error: serving/local/click_rate.json was moved by somebody else meanwhile; look where it points" in said
    assert pointer(folder).address == theirs


def test_a_rollback_goes_back_at_once_and_says_what_it_passed_over(folder: Folder) -> None:
    """No question; the bundle that lost a file is named; promoting ends the hold."""
    one, harmed, three = (publish(folder, number) for number in range(3))
    for address in (one, harmed, three):
        assert dsp(folder, "promote", "--yes", address).code == 0
    (folder.lake / harmed / METRICS).unlink()
    done = dsp(folder, "rollback", MODEL)
    assert (done.code, done.out.splitlines()) == (
        0,
        [
            f"passed over: {harmed}/metrics.json is missing; "
            f"`dsp rerun ExportModel baseline/control {day(1)}` makes it again.",
            f"local serves {short(one)} again instead of {short(three)}, and is held there: `dsp promote` ends that.",
        ],
    )
    held = pointer(folder)
    assert (held.address, held.history, held.held, set(held.left)) == (one, (), True, {harmed, three})
    assert dsp(folder, "promote", "--yes", one).code == 0
    assert (pointer(folder).address, pointer(folder).held) == (one, False)
