"""Moving a pointer on and back: what it remembers, and what it is held to."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from dsp_pipeline.errors import BundleError, ConflictError, UnknownNameError
from dsp_pipeline.registry.manifest import LINEAGE, MANIFEST
from dsp_pipeline.registry.pointer import HISTORY, Pointer
from dsp_pipeline.registry.promotion import RolledBack, meant, roll_back, short
from dsp_pipeline.registry.registry import BundleRegistry
from dsp_pipeline.storage.local import LocalFolder

from .bundles import IDENTITY, NOW, candidate, published

MODEL = IDENTITY.model


@pytest.fixture
def store(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path / "lake")


def day(number: int) -> date:
    return IDENTITY.date + timedelta(days=number)


def served(store: LocalFolder, *addresses: str) -> Pointer:
    """The pointer after it was moved to each of these in turn."""
    registry, current = BundleRegistry(store), None
    for address in addresses:
        current = registry.point("production", MODEL, candidate(store, address, current), current and current.etag)
    assert current is not None
    return current


def back(store: LocalFolder, current: Pointer) -> RolledBack:
    return roll_back(store, "production", MODEL, current, NOW + timedelta(hours=1))


def of_days(store: LocalFolder, folder: Path, number: int) -> list[str]:
    return [published(store, folder, date=day(one)) for one in range(number)]


def test_a_pointer_remembers_what_was_served_newest_first(store: LocalFolder, tmp_path: Path) -> None:
    """Each address once, and never the one that it points at."""
    one, two, three = of_days(store, tmp_path, 3)
    assert served(store, one).history == ()
    store.delete(f"serving/production/{MODEL}.json")
    found = served(store, one, two, three, two)
    assert (found.address, found.history, found.held) == (two, (three, one), False)
    assert BundleRegistry(store).resolve("production", MODEL) == found
    assert found.left == dict.fromkeys((three, one), NOW.isoformat(timespec="milliseconds"))


def test_a_pointer_remembers_the_last_ten(store: LocalFolder, tmp_path: Path) -> None:
    """A pointer is a small file; when each was left is remembered for longer."""
    addresses = of_days(store, tmp_path, HISTORY + 3)
    found = served(store, *addresses)
    assert found.history == tuple(reversed(addresses[2:-1]))
    assert set(found.left) == set(addresses[:-1])


def test_a_pointer_of_before_there_was_a_history_is_read(store: LocalFolder, tmp_path: Path) -> None:
    """Its `previous` is what a rollback goes back to."""
    one, two = of_days(store, tmp_path, 2)
    key = f"serving/production/{MODEL}.json"
    raw = json.loads(served(store, two).to_json())
    for previous, history in ((one, (one,)), (None, ())):
        old = {name: raw[name] for name in raw if name not in ("history", "held", "left")} | {"previous": previous}
        store.put(key, json.dumps(old).encode())
        found = BundleRegistry(store).resolve("production", MODEL)
        assert found is not None
        assert (found.address, found.history, found.held, found.left) == (two, history, False, {})
    store.put(key, json.dumps({**raw, "left": ["what"]}).encode())
    with pytest.raises(BundleError, match="is no pointer"):
        BundleRegistry(store).resolve("production", MODEL)


def test_a_second_rollback_goes_further_back(store: LocalFolder, tmp_path: Path) -> None:
    """What was rolled back from does not come again; the pointer is held, and says when each bundle was left."""
    one, two, three = of_days(store, tmp_path, 3)
    first = back(store, served(store, one, two, three))
    assert (first.before.address, first.skipped) == (three, ())
    assert (first.now.address, first.now.history, first.now.held) == (two, (one,), True)
    assert first.now.left[three] == "2026-11-23T05:05:06.000+00:00"
    second = back(store, first.now)
    assert (second.now.address, second.now.history, second.now.held) == (one, (), True)
    assert BundleRegistry(store).resolve("production", MODEL) == second.now
    with pytest.raises(BundleError, match=f"production served no other bundle of {MODEL} before {short(one)}; choose"):
        back(store, second.now)


def test_who_promotes_ends_the_hold(store: LocalFolder, tmp_path: Path) -> None:
    """Also by promoting what is held."""
    one, two = of_days(store, tmp_path, 2)
    held = back(store, served(store, one, two)).now
    registry = BundleRegistry(store)
    again = registry.point("production", MODEL, candidate(store, one, held), held.etag)
    assert (again.address, again.history, again.held, set(again.left)) == (one, (), False, {two})


def test_a_rollback_passes_over_bundles_that_are_not_whole(store: LocalFolder, tmp_path: Path) -> None:
    """It names them, and takes the newest that is whole; if there is none it says so and moves nothing."""
    one, two, three, four = of_days(store, tmp_path, 4)
    current = served(store, one, two, three, four)
    store.delete(f"{three}/{MANIFEST}")
    store.put(f"{two}/{LINEAGE}", b"{}")
    done = back(store, current)
    assert (done.now.address, done.now.history) == (one, ())
    assert [text.split(" ")[0] for text in done.skipped] == [f"{three}/{MANIFEST}", f"{two}/{LINEAGE}"]
    current = served_anew(store, done.now, four)
    store.delete(f"{one}/{MANIFEST}")
    with pytest.raises(BundleError, match=f"no bundle of {MODEL} that production served before is whole any more"):
        back(store, current)
    assert BundleRegistry(store).resolve("production", MODEL) == current


def served_anew(store: LocalFolder, current: Pointer, address: str) -> Pointer:
    return BundleRegistry(store).point("production", MODEL, candidate(store, address, current), current.etag)


def test_a_rollback_of_a_pointer_that_moved_meanwhile_changes_nothing(store: LocalFolder, tmp_path: Path) -> None:
    """Two people in one emergency go back one step, not two."""
    one, two, three = of_days(store, tmp_path, 3)
    current = served(store, one, two, three)
    theirs = back(store, current).now
    with pytest.raises(ConflictError, match="was moved by somebody else meanwhile"):
        back(store, current)
    assert BundleRegistry(store).resolve("production", MODEL) == theirs


def test_a_bundle_is_meant_by_its_address_its_day_or_its_arm(store: LocalFolder, tmp_path: Path) -> None:
    """Where a name fits several it is the newest day, and of one day the one published last."""
    old, new = published(store, tmp_path), published(store, tmp_path, date=day(1))
    deeper = published(store, tmp_path, arm="deeper", date=day(2))
    published(store, tmp_path, model="win_rate", experiment="wins")
    versions = BundleRegistry(store).versions()
    assert len(versions) == 4
    for name, address in {
        old: old,
        short(old): old,
        f"baseline/control/{day(0)}": old,
        f"baseline/control/{day(1)}": new,
        "baseline/control": new,
        "baseline/deeper": deeper,
    }.items():
        assert meant(versions, name, lambda *_: None).address == address, name
    with pytest.raises(UnknownNameError, match=f"did you mean .*baseline/control/{day(1)}"):
        meant(versions, f"baseline/control/{day(9)}", lambda *_: None)


def test_a_name_without_a_version_means_what_this_checkout_trains(store: LocalFolder, tmp_path: Path) -> None:
    """What a branch trained since is served only by its address."""
    ours = published(store, tmp_path, version="ours")
    theirs = published(store, tmp_path, version="theirs", date=day(1))
    versions = BundleRegistry(store).versions()
    assert meant(versions, "baseline/control", lambda *_: "ours").address == ours
    assert meant(versions, short(theirs), lambda *_: "ours").address == theirs
    for name, trained in (
        (f"baseline/control/{day(1)}", "ours"),
        ("baseline/control", None),
        ("baseline/control", "new"),
    ):
        with pytest.raises(
            BundleError, match=f"no bundle of {name} is of the version .* write it out: {short(theirs)}"
        ):
            meant(versions, name, lambda *_, trained=trained: trained)


def test_all_pointers_are_found_by_one_listing(store: LocalFolder, tmp_path: Path) -> None:
    """Of every environment; what lies beside them is none, and a damaged one is told."""
    first = served(store, *of_days(store, tmp_path, 2))
    registry = BundleRegistry(store)
    other = registry.point("a-branch", MODEL, candidate(store, first.address), None)
    store.put("serving/production/notes/mine.json", b"{}")
    store.put("serving/production/mine.txt", b"mine")
    assert list(registry.pointers()) == [("a-branch", MODEL, other), ("production", MODEL, first)]
    store.put("serving/production/win_rate.json", b"{}")
    with pytest.raises(BundleError, match=r"serving/production/win_rate\.json is no pointer"):
        list(registry.pointers())


def test_a_file_of_a_bundle_is_read_alone(store: LocalFolder, tmp_path: Path) -> None:
    """Without the rest of it; what is missing or no JSON is told by name."""
    address, registry = published(store, tmp_path), BundleRegistry(store)
    assert registry.contents(address, LINEAGE) == {"train/x": {"rows": 200}}
    store.put(f"{address}/{LINEAGE}", b"{")
    with pytest.raises(BundleError, match=r"lineage\.json is not JSON"):
        registry.contents(address, LINEAGE)
    store.delete(f"{address}/{LINEAGE}")
    with pytest.raises(BundleError, match=r"lineage\.json is missing"):
        registry.contents(address, LINEAGE)
