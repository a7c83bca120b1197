"""Bundles in an object store, and the pointers to those that bidders load.

    bundles/<model>/<experiment>/<arm>/<version>/<YYYY-MM-DD>/<attempt>/<file>     never changed once written
    serving/<environment>/<model>.json                                             moved, compare-and-swap

Everything is plain objects, so any ObjectStore serves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import groupby
from pathlib import Path
from typing import Any

from dsp_pipeline.errors import BundleError, ConflictError, NotFoundError
from dsp_pipeline.receipts import File
from dsp_pipeline.registry.bundle import Bundle, load_bundle, read_manifest_file, verify_bundle
from dsp_pipeline.registry.manifest import MANIFEST, MOST_BYTES, entry_of, load_json, read_small
from dsp_pipeline.registry.pointer import Pointer, made_again, read_manifest
from dsp_pipeline.storage.base import ObjectStore, Stored
from dsp_pipeline.storage.sweep import LEFTOVER, Pile, Swept

_BUNDLES = "bundles/"
_SERVING, _END = "serving/", ".json"
_DEPTH = 6  # slashes in a bundle's address


@dataclass(frozen=True)
class Version:
    """A published bundle as a listing shows it. `published` is epoch seconds, `size` in bytes."""

    address: str
    model: str
    experiment: str
    arm: str
    version: str
    date: date
    attempt: str
    size: int
    published: float


class BundleRegistry:
    """A bundle is published once its manifest is in the store; what lies around without one does not exist."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def publish(self, bundle_folder: Path, address: str) -> tuple[File, ...]:
        """Upload the bundle, its manifest last. `address` is `Identity.address(attempt)`, a new one for each attempt.

        BundleError if the folder is not whole or is another bundle than the address says; ConflictError if the
        address is taken.
        """
        manifest = verify_bundle(bundle_folder)
        if manifest.identity.address(address.rpartition("/")[2]) != address:
            raise BundleError(f"{bundle_folder} holds {manifest.identity}, which does not belong at {address}.")
        files = []
        for name in (*manifest.files, MANIFEST):
            path = bundle_folder / name
            entry = entry_of(path)
            if name != MANIFEST and entry != manifest.files[name]:
                raise BundleError(f"{path} changed while it was published; publish a new attempt.")
            self._store.put(f"{address}/{name}", path, if_absent=True)
            files.append(File(f"{address}/{name}", entry.size, entry.sha256))
        return tuple(files)

    def versions(self, model: str = "") -> list[Version]:
        """Published bundles, of the model or of all, newest date first, then newest published first. One listing."""
        objects: dict[str, list[Stored]] = {}
        for stored in self._store.list(f"{_BUNDLES}{model}/" if model else _BUNDLES):
            objects.setdefault(stored.key.rpartition("/")[0], []).append(stored)
        found = [one for address, files in objects.items() for one in _version(address, files)]
        return sorted(found, key=lambda one: (one.date, one.published, one.address), reverse=True)

    def sweep(self, keep: Callable[[str], bool], before: datetime, *, remove: bool) -> Iterator[Swept]:
        """What is not needed. With `remove` each is removed before it is yielded; without it nothing changes.

        That is bundles, by address, that `keep` refuses and into which nothing was written since `before`, and, as old,
        what was not published to its end. `keep` is asked just before the bundle goes, its manifest first, so that
        nobody can be pointed at it any more; pointers are not looked at. One listing.
        """
        for address, group in groupby(self._store.list(_BUNDLES), lambda stored: stored.key.rpartition("/")[0]):
            files = sorted(group, key=lambda stored: not stored.key.endswith(f"/{MANIFEST}"))
            published = files[0].key == f"{address}/{MANIFEST}"
            pile = Pile(files)
            if address.count("/") != _DEPTH or pile.newest >= before.timestamp() or (published and keep(address)):
                continue
            for stored in files if remove else ():
                self._store.delete(stored.key)
            yield pile.swept(address, None if published else LEFTOVER)

    def contents(self, address: str, name: str) -> dict[str, Any]:
        """A file of a published bundle that holds JSON. BundleError if it is not there, or holds something else."""
        key = f"{address}/{name}"
        try:
            with self._store.get(key) as stream:
                return load_json(stream.read(), key)
        except NotFoundError:
            raise BundleError(f"{key} is missing; point at another bundle, or {made_again(address)}.") from None

    def pointers(self) -> Iterator[tuple[str, str, Pointer]]:
        """Environment, model and pointer of all that bidders load. One listing, and one read each.

        BundleError if one of them is damaged.
        """
        for stored in self._store.list(_SERVING):
            environment, slash, name = stored.key[len(_SERVING) :].partition("/")
            if slash and "/" not in name and name.endswith(_END):
                pointer = self._read(stored)
                if pointer is not None:
                    yield environment, name[: -len(_END)], pointer

    def resolve(self, environment: str, model: str) -> Pointer | None:
        """Where bidders of the environment find the model; None if it was never pointed."""
        key = _pointer_key(environment, model)
        # Listed before it is read: if it moves in between, the etag is the older one and a swap with it fails.
        found = next((stored for stored in self._store.list(key) if stored.key == key), None)
        return self._read(found) if found else None

    def point(self, environment: str, model: str, pointer: Pointer, expected: str | None) -> Pointer:
        """Move the pointer if it still is what `resolve` showed: `expected` is that etag, None if there was none.

        Returns the pointer with its new etag. BundleError if no whole bundle of this model is at its address;
        ConflictError if somebody else moved it meanwhile: theirs stays.
        """
        self.check(model, pointer)
        key = _pointer_key(environment, model)
        try:
            etag = self._store.put(key, pointer.to_json(), if_absent=expected is None, if_match=expected)
        except ConflictError:
            raise ConflictError(
                f"{key} was moved by somebody else meanwhile; look where it points now, then decide again."
            ) from None
        return replace(pointer, etag=etag)

    def fetch(self, address: str, folder: Path, manifest_sha256: str | None = None) -> Bundle:
        """Download a bundle into a new folder and load it: checksums and golden rows are verified.

        With `manifest_sha256`, which a pointer has, the manifest is held against that too. BundleError if not whole.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._download(address, MANIFEST, folder, MOST_BYTES)
        for name, entry in read_manifest_file(folder, manifest_sha256).files.items():
            self._download(address, name, folder, entry.size)
        return load_bundle(folder, manifest_sha256)

    def check(self, model: str, pointer: Pointer) -> None:
        """BundleError if no whole bundle of the model is where the pointer says: a manifest and a listing are read."""
        manifest, sha256 = read_manifest(self._store, pointer.address)
        one = manifest.identity
        if sha256 != pointer.manifest_sha256:
            raise BundleError(f"{pointer.address}/{MANIFEST} is not what the pointer was made from; make a new one.")
        if (one.model, one.experiment, one.arm, one.version, one.date) != (
            model,
            pointer.experiment,
            pointer.arm,
            pointer.version,
            pointer.date,
        ):
            raise BundleError(f"{pointer.address} holds another bundle than the pointer to {model} says.")
        sizes = {stored.key: stored.size for stored in self._store.list(f"{pointer.address}/")}
        for name, entry in manifest.files.items():
            size = sizes.get(f"{pointer.address}/{name}")
            if size is None:
                raise BundleError(f"{pointer.address}/{name} is missing; {made_again(pointer.address)}.")
            if size != entry.size:
                raise BundleError(
                    f"{pointer.address}/{name} has {size} bytes and its manifest says {entry.size}; "
                    f"{made_again(pointer.address)}."
                )

    def _download(self, address: str, name: str, folder: Path, most: int) -> None:
        """BundleError, before the disk is full, if it has more bytes than it may have."""
        try:
            with self._store.get(f"{address}/{name}") as stream, (folder / name).open("wb") as out:
                left = most
                while piece := stream.read(min(left + 1, 1 << 20)):
                    left -= len(piece)
                    if left < 0:
                        raise BundleError(
                            f"{address}/{name} has more than {most:,} bytes, which is what it may have; "
                            f"{made_again(address)}."
                        )
                    out.write(piece)
        except NotFoundError:
            raise BundleError(
                f"{address}/{name} is missing; point at another bundle, or {made_again(address)}."
            ) from None

    def _read(self, stored: Stored) -> Pointer | None:
        """The pointer that was listed; None if it has been removed since."""
        try:
            with self._store.get(stored.key) as stream:
                return Pointer.from_json(
                    read_small(stream, stored.key, "remove it and point again"), stored.key, stored.etag
                )
        except NotFoundError:
            return None


def _pointer_key(environment: str, model: str) -> str:
    return f"{_SERVING}{environment}/{model}{_END}"


def _version(address: str, files: list[Stored]) -> Iterator[Version]:
    """The version that these files make up; none if they have no manifest or do not lie where a bundle does."""
    manifest = next((stored for stored in files if stored.key == f"{address}/{MANIFEST}"), None)
    if manifest is None or address.count("/") != _DEPTH:
        return
    _, model, experiment, arm, version, day, attempt = address.split("/")
    try:
        made_for = date.fromisoformat(day)
    except ValueError:
        return
    size = sum(stored.size for stored in files)
    yield Version(address, model, experiment, arm, version, made_for, attempt, size, manifest.modified)
