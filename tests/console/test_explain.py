"""`dsp explain` and ExplainModel: the score of one row in parts."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from dsp_pipeline.errors import DspError, NotReadyError
from dsp_pipeline.registry.pointer import pointer_to
from dsp_pipeline.registry.promotion import short
from dsp_pipeline.registry.registry import BundleRegistry
from dsp_pipeline.storage.local import LocalFolder
from tasks.explain_model import ExplainModel
from tests.console.lake import answer, inside, shortened
from tests.e2e.folder import DAY, Folder

MODEL, ARM = "click_rate", "click_rate_baseline/control"


@pytest.fixture(scope="module")
def row(made: Folder) -> dict[str, Any]:
    """A row of the held-out day, as the warehouse has it."""
    found: dict[str, Any] = made.rows(MODEL, day=DAY).to_pylist()[3]
    return found


@pytest.fixture
def served(own: Folder) -> tuple[Folder, str]:
    """A folder whose bidders load the bundle of an arm, and the bundle's address: what a gate says of it is all one."""
    store = LocalFolder(own.lake)
    registry = BundleRegistry(store)
    address = next(one.address for one in registry.versions(MODEL) if f"{one.experiment}/{one.arm}" == ARM)
    current = registry.resolve("local", MODEL)
    pointer = pointer_to(store, address, pointed_at=datetime.now(UTC), current=current)
    registry.point("local", MODEL, pointer, current.etag if current else None)
    return own, address


def explained(folder: Folder, *words: str) -> dict[str, Any]:
    told = answer(folder, "explain", "--json", *words)
    assert (told.code, told.err) == (0, "")
    said: dict[str, Any] = json.loads(told.out)
    return said


def refused(folder: Folder, *words: str) -> str:
    """What is said, in one sentence, instead of an answer."""
    told = answer(folder, *words)
    assert (told.code, told.out) == (1, "")
    assert told.err.count("\n") == 1
    return told.err


def test_a_score_is_what_the_served_bundle_gives_and_its_parts_make(
    served: tuple[Folder, str], row: dict[str, Any], tmp_path: Path
) -> None:
    """Looked up by its key, on the newest day that has it; odds of the parts multiply to those of the score."""
    folder, address = served
    said = explained(folder, MODEL, row["impression_id"])
    assert said["bundle"] == address
    assert said["row"] == {"table": MODEL, "date": DAY, "key": row["impression_id"]}
    bundle = BundleRegistry(LocalFolder(folder.lake)).fetch(address, tmp_path / "bundle")
    rows = folder.rows(MODEL)
    (score,) = bundle.score(rows.filter(pc.equal(rows["impression_id"], row["impression_id"])))
    assert said["probability"] == pytest.approx(score, abs=1e-9)
    odds = math.prod(part["odds"] for part in said["parts"]) * said["start"] / (1 - said["start"])
    assert odds / (1 + odds) == pytest.approx(score, rel=1e-4)
    values = {part["feature"]: part["value"] for part in said["parts"]}
    assert set(values) == {one["name"] for one in bundle.features["features"]}
    assert values["hour_of_day"] == row["hour_of_day"]
    told = answer(folder, "explain", MODEL, row["impression_id"], "--date", DAY)
    assert (told.code, told.err) == (0, "")
    lines = told.out.splitlines()
    assert lines[0] == said["words"] and lines[0].startswith("click_rate is ")
    assert lines[2].startswith("begins at") and len(lines) == len(values) + 6
    assert lines[-1] == f"click_rate {row['impression_id']} of {DAY}, by {short(address)}"


def test_another_bundle_is_named(made: Folder, row: dict[str, Any]) -> None:
    """As `dsp models` names it."""
    said = explained(made, MODEL, row["impression_id"], "--bundle", f"click_rate_baseline/deeper/{DAY}")
    assert "/deeper/" in said["bundle"]


def test_what_cannot_be_explained_is_told_with_the_cure(served: tuple[Folder, str], row: dict[str, Any]) -> None:
    """An unknown model, key, day or bundle, and an environment that serves none."""
    made, key = served[0], row["impression_id"]
    assert "unknown model 'click_rat': did you mean click_rate?" in refused(made, "explain", "click_rat", key)
    unknown = refused(made, "explain", MODEL, "nobody")
    assert f"no row of click_rate has impression_id = nobody on {DAY}" in unknown and "dsp show" in unknown
    missing = refused(made, "explain", MODEL, key, "--date", "2026-11-21")
    assert "click_rate of version " in missing and "has no 2026-11-21; it has " in missing
    assert "is not a day; write it as" in refused(made, "explain", MODEL, key, "--date", "last monday")
    assert "unknown bundle 'nothing'" in refused(made, "explain", MODEL, key, "--bundle", "nothing")
    other = refused(made, "--set", "dsp.environment=other", "explain", MODEL, key)
    assert "other serves no bundle of click_rate yet; `dsp promote` one, or name one with --bundle." in other


def test_rows_are_those_that_the_bundle_was_trained_on(served: tuple[Folder, str], row: dict[str, Any]) -> None:
    """A checkout that makes another version of the table still explains the served bundle with its own version."""
    own, key = served[0], row["impression_id"]
    settings = shortened(own)
    told = answer(own, *settings, "explain", MODEL, key)
    assert (told.code, told.err) == (0, "")
    assert told.out == answer(own, "explain", MODEL, key).out


def test_luigi_tells_the_same(made: Folder, row: dict[str, Any]) -> None:
    """Of an arm and a held-out day; nothing is written, and what is not there is said."""
    experiment, arm = ARM.split("/")
    words = ("ExplainModel", "--experiment", experiment, "--arm", arm, "--date", DAY)
    files = {name for name in made.files() if not name.startswith(".scratch")}
    done = made.luigi(*words, "--key", row["impression_id"])
    assert done.code == 0, done.text
    said = explained(made, MODEL, row["impression_id"], "--bundle", f"{ARM}/{DAY}")
    assert said["words"] in done.text
    assert {name for name in made.files() if not name.startswith(".scratch")} == files
    given = {"experiment": experiment, "arm": arm, "date": date.fromisoformat(DAY)}
    with inside(made), pytest.raises(DspError, match="no row of click_rate has impression_id = nobody on 2026-11-18"):
        ExplainModel(**given, key="nobody").complete()
    with inside(made), pytest.raises(NotReadyError, match="there is no bundle to explain; run it first"):
        ExplainModel(**{**given, "date": date(2026, 11, 19)}, key=row["impression_id"]).complete()
