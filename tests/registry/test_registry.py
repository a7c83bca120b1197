"""Publishing bundles and moving pointers."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from dsp_pipeline.errors import BundleError, ConflictError
from dsp_pipeline.registry.manifest import FILES, MANIFEST, Identity
from dsp_pipeline.registry.pointer import Pointer, pointer_to
from dsp_pipeline.registry.registry import BundleRegistry
from dsp_pipeline.storage.local import LocalFolder

from .bundles import IDENTITY, NOW, candidate, make_bundle, published, trained

NEXT = IDENTITY.date + timedelta(days=1)


@pytest.fixture
def store(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path / "lake")


@pytest.fixture
def registry(store: LocalFolder) -> BundleRegistry:
    return BundleRegistry(store)


def test_a_bundle_is_published_with_its_manifest_last(registry: BundleRegistry, tmp_path: Path) -> None:
    """The files are named as a receipt needs them."""
    make_bundle(tmp_path / "made")
    address = IDENTITY.address("7f")
    assert address == "bundles/click_rate/baseline/control/abc123/2026-11-22/7f"
    files = registry.publish(tmp_path / "made", address)
    assert [file.key for file in files] == [f"{address}/{name}" for name in (*sorted(FILES), MANIFEST)]
    assert [file.size for file in files] == [
        (tmp_path / "made" / name).stat().st_size for name in (*sorted(FILES), MANIFEST)
    ]


def test_an_address_is_published_once(store: LocalFolder, registry: BundleRegistry, tmp_path: Path) -> None:
    """A second writer of the address is told; what is there stays."""
    address = published(store, tmp_path)
    with pytest.raises(ConflictError):
        registry.publish(tmp_path / address, address)


def test_a_bundle_is_not_published_as_another(registry: BundleRegistry, tmp_path: Path) -> None:
    """The address must be that of the manifest's identity."""
    make_bundle(tmp_path / "made")
    with pytest.raises(BundleError, match="which does not belong at bundles/click_rate/baseline/deeper/"):
        registry.publish(tmp_path / "made", replace(IDENTITY, arm="deeper").address("1"))


def test_a_harmed_bundle_is_not_published(store: LocalFolder, registry: BundleRegistry, tmp_path: Path) -> None:
    """Nothing of it reaches the store."""
    make_bundle(tmp_path / "made")
    (tmp_path / "made" / "lineage.json").write_text("{}")
    with pytest.raises(BundleError, match=r"lineage\.json has 2 bytes"):
        registry.publish(tmp_path / "made", IDENTITY.address("1"))
    assert list(store.list("")) == []


def test_versions_are_listed_newest_date_first(store: LocalFolder, registry: BundleRegistry, tmp_path: Path) -> None:
    """Of this model only, from the listing alone."""
    old, new = published(store, tmp_path), published(store, tmp_path, arm="deeper", date=NEXT)
    published(store, tmp_path, model="click_rate_two")
    found = registry.versions("click_rate")
    assert [one.address for one in found] == [new, old]
    assert (found[0].experiment, found[0].arm, found[0].version, found[0].date, found[0].attempt) == (
        "baseline",
        "deeper",
        "abc123",
        NEXT,
        "1",
    )
    assert found[0].size == sum(path.stat().st_size for path in (tmp_path / new).iterdir())


def test_a_killed_publish_is_no_version_and_cannot_be_pointed_at(
    store: LocalFolder, registry: BundleRegistry, tmp_path: Path
) -> None:
    """All files are there but the manifest, which would have been last."""
    address = published(store, tmp_path)
    pointer = candidate(store, address)
    store.delete(f"{address}/{MANIFEST}")
    assert registry.versions("click_rate") == []
    with pytest.raises(BundleError, match="was not published to its end, or lost it; `dsp rerun ExportModel"):
        candidate(store, address)
    with pytest.raises(BundleError, match="was not published to its end"):
        registry.point("production", "click_rate", pointer, None)
    assert registry.resolve("production", "click_rate") is None


def test_a_bundle_that_lost_a_file_cannot_be_pointed_at(
    store: LocalFolder, registry: BundleRegistry, tmp_path: Path
) -> None:
    """The listing is held against the manifest: names and sizes."""
    address = published(store, tmp_path)
    pointer = candidate(store, address)
    store.put(f"{address}/model.ubj", b"short")
    with pytest.raises(BundleError, match=r"model\.ubj has 5 bytes and its manifest says"):
        registry.point("production", "click_rate", pointer, None)
    store.delete(f"{address}/model.ubj")
    with pytest.raises(BundleError, match=r"model\.ubj is missing"):
        registry.point("production", "click_rate", pointer, None)


def test_a_pointer_comes_back_as_it_was_set(store: LocalFolder, registry: BundleRegistry, tmp_path: Path) -> None:
    """With the etag to move it by; environments do not see each other's."""
    set_ = registry.point("production", "click_rate", candidate(store, published(store, tmp_path)), None)
    assert set_.etag is not None
    assert registry.resolve("production", "click_rate") == set_
    assert set_.pointed_at == "2026-11-23T04:05:06.000+00:00"
    assert registry.resolve("staging", "click_rate") is None
    assert registry.resolve("production", "click_rat") is None


def test_of_two_who_saw_the_same_pointer_one_moves_it(
    store: LocalFolder, registry: BundleRegistry, tmp_path: Path
) -> None:
    """The other is told, and what the first wrote stays."""
    first = registry.point("production", "click_rate", candidate(store, published(store, tmp_path)), None)
    mine, theirs = (candidate(store, published(store, tmp_path, attempt), first) for attempt in ("2", "3"))
    registry.point("production", "click_rate", theirs, first.etag)
    with pytest.raises(ConflictError, match=r"serving/production/click_rate\.json was moved by somebody else"):
        registry.point("production", "click_rate", mine, first.etag)
    with pytest.raises(ConflictError):
        registry.point("production", "click_rate", mine, None)
    found = registry.resolve("production", "click_rate")
    assert found is not None and found.address == theirs.address


@pytest.mark.parametrize("there", [False, True])
def test_of_eight_writers_at_once_exactly_one_wins(
    there: bool, store: LocalFolder, registry: BundleRegistry, tmp_path: Path
) -> None:
    """On the first pointer of an environment and on a later one."""
    address = published(store, tmp_path)
    current = registry.point("production", "click_rate", candidate(store, address), None) if there else None
    pointers = [candidate(store, published(store, tmp_path, f"a{n}"), current) for n in range(8)]
    start, won = threading.Barrier(8), []

    def move(pointer: Pointer) -> None:
        start.wait()
        with suppress(ConflictError):
            won.append(registry.point("production", "click_rate", pointer, current.etag if current else None))

    threads = [threading.Thread(target=move, args=(pointer,)) for pointer in pointers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [registry.resolve("production", "click_rate")] == won


def test_a_pointer_of_another_model_or_bundle_is_refused(
    store: LocalFolder, registry: BundleRegistry, tmp_path: Path
) -> None:
    """What the pointer says must be what the manifest says."""
    pointer = candidate(store, published(store, tmp_path))
    with pytest.raises(BundleError, match="holds another bundle than the pointer to win_rate says"):
        registry.point("production", "win_rate", pointer, None)
    with pytest.raises(BundleError, match="holds another bundle than the pointer to click_rate says"):
        registry.point("production", "click_rate", replace(pointer, date=NEXT), None)
    with pytest.raises(BundleError, match="is not what the pointer was made from"):
        registry.point("production", "click_rate", replace(pointer, manifest_sha256="0" * 64), None)


def test_a_damaged_pointer_is_told(store: LocalFolder, registry: BundleRegistry) -> None:
    """By its key, with the cure."""
    store.put("serving/production/click_rate.json", b'{"date": "2026-11-22"}')
    with pytest.raises(BundleError, match=r"click_rate\.json is no pointer .*; remove it and point again"):
        registry.resolve("production", "click_rate")


def test_a_fetched_bundle_scores(store: LocalFolder, registry: BundleRegistry, tmp_path: Path) -> None:
    """As the bidder does it: resolve, fetch by address and digest, score."""
    pointer = registry.point("production", "click_rate", candidate(store, published(store, tmp_path)), None)
    bundle = registry.fetch(pointer.address, tmp_path / "bidder", pointer.manifest_sha256)
    assert bundle.manifest.identity == IDENTITY
    assert bundle.score(trained()[1]).shape == (20,)


def test_a_bundle_that_was_harmed_in_the_store_is_not_loaded(
    store: LocalFolder, registry: BundleRegistry, tmp_path: Path
) -> None:
    """A missing or changed object is told by name."""
    address = published(store, tmp_path)
    with store.get(f"{address}/metrics.json") as stream:
        text = stream.read()
    store.put(f"{address}/metrics.json", text.replace(b"0.5", b"0.4"))
    with pytest.raises(BundleError, match=r"metrics\.json was changed"):
        registry.fetch(address, tmp_path / "one")
    store.delete(f"{address}/metrics.json")
    with pytest.raises(BundleError, match=r"metrics\.json is missing"):
        registry.fetch(address, tmp_path / "two")


@pytest.mark.parametrize("part", ["", "..", "a/b", "a b", ".hidden"])
def test_a_part_that_would_lead_elsewhere_makes_no_address(part: str) -> None:
    """Names of experiments and arms become keys."""
    with pytest.raises(BundleError, match="cannot be part of a bundle's address"):
        Identity("click_rate", part, "control", "v", date(2026, 1, 1)).address("1")


def test_pointing_needs_no_download(store: LocalFolder, tmp_path: Path) -> None:
    """A pointer is made from the manifest alone: the rest of the bundle may be large."""
    address = published(store, tmp_path)
    store.delete(f"{address}/model.ubj")
    assert pointer_to(store, address, pointed_at=NOW, current=None).address == address


def test_a_bundle_that_nothing_needs_is_swept(store: LocalFolder, registry: BundleRegistry, tmp_path: Path) -> None:
    """Told first, then removed; what is needed stays whole, and so do pointers and what is no bundle."""
    needed, old = published(store, tmp_path), published(store, tmp_path, arm="deeper", date=NEXT)
    registry.point("production", "click_rate", candidate(store, needed), None)
    store.put("bundles/click_rate/notes.txt", b"mine")
    there = list(store.list(""))
    young, tomorrow = (datetime.now(UTC) + timedelta(days=days) for days in (-1, 1))
    assert list(registry.sweep(lambda address: False, young, remove=True)) == []
    told = list(registry.sweep(lambda address: address == needed, tomorrow, remove=False))
    assert list(store.list("")) == there
    files = [stored for stored in there if stored.key.startswith(f"{old}/")]
    assert [(one.address, one.parts, one.size) for one in told] == [
        (old, len(FILES) + 1, sum(stored.size for stored in files))
    ]
    assert told[0].why.startswith("nothing needs this version, last written 20")
    assert list(registry.sweep(lambda address: address == needed, tomorrow, remove=True)) == told
    assert list(registry.sweep(lambda address: address == needed, tomorrow, remove=True)) == []
    assert list(store.list("")) == [stored for stored in there if stored not in files]
    registry.fetch(needed, tmp_path / "fetched")


def test_what_was_not_published_to_its_end_is_swept(
    store: LocalFolder, registry: BundleRegistry, tmp_path: Path
) -> None:
    """Whether or not it is needed: it does not exist. Nor does what a killed sweep leaves, which ends so."""
    address = published(store, tmp_path)
    store.delete(f"{address}/{MANIFEST}")
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    (swept,) = registry.sweep(lambda address: True, tomorrow, remove=True)
    assert (swept.address, swept.parts, swept.why) == (
        address,
        len(FILES),
        "left by a writer that was killed or replaced",
    )
    assert list(store.list("")) == []


def test_the_manifest_goes_first(store: LocalFolder, tmp_path: Path) -> None:
    """A bundle is not there any more before it is not whole any more."""
    address = published(store, tmp_path)
    removed = []

    class Watched(LocalFolder):
        def delete(self, key: str) -> None:
            removed.append(key)

    list(BundleRegistry(Watched(store.root)).sweep(lambda _: False, datetime.now(UTC) + timedelta(1), remove=True))
    assert removed[0] == f"{address}/{MANIFEST}"
