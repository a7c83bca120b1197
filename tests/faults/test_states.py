"""Receipts and pointers under several writers at once, in any order, each of which may die at any of its steps."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from dsp_pipeline.errors import BundleError, ConflictError, NotFoundError
from dsp_pipeline.receipts import Draft, Receipt
from dsp_pipeline.registry.pointer import HISTORY, Pointer, pointer_to
from dsp_pipeline.registry.promotion import roll_back
from dsp_pipeline.registry.registry import BundleRegistry
from dsp_pipeline.storage.base import ObjectStore
from dsp_pipeline.storage.local import LocalFolder
from dsp_pipeline.storage.outputs import Outputs
from dsp_pipeline.storage.s3 import S3Bucket
from tests.contracts.implementations import new_bucket, s3_server, s3_test_client
from tests.faults.staged import Writer
from tests.faults.tally import FULL, Count
from tests.registry.bundles import IDENTITY, make_bundle

ADDRESS = "ingest/click-0a1b2c/2026-11-18T05"


def _bucket(_: Path) -> S3Bucket:
    """Its listings come in pages as long as S3's: those of five that others want take most of the time."""
    server = s3_server(1_000)
    return S3Bucket(new_bucket(server), "lake", client=s3_test_client(server.url))


STORES: dict[str, Callable[[Path], ObjectStore]] = {"a folder": LocalFolder, "S3": _bucket}
_LATER = timedelta(days=1)
_WHICH = st.integers(0, 3)


class _Machine(RuleBasedStateMachine):
    """Up to four writers of one store."""

    make_store: Callable[[Path], ObjectStore]
    count: Count

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="states-"))
        self.store = type(self).make_store(self.folder / "store")
        self.writers: list[Writer] = []
        self.steps = 0

    @precondition(lambda self: self.writers)
    @rule(which=_WHICH, steps=st.integers(1, 4))
    def a_writer_goes_on(self, which: int, steps: int) -> None:
        for step in range(steps):
            if step:  # after the last one the invariant looks
                self.looked_at()
            self.writers[which % len(self.writers)].advance()
            self.steps += 1

    @precondition(lambda self: self.writers)
    @rule(which=_WHICH)
    def a_writer_is_killed(self, which: int) -> None:
        self.writers.pop(which % len(self.writers)).kill()
        self.steps += 1

    def all_end(self) -> None:
        while self.writers:
            writer = self.writers.pop()
            while not writer.finished:
                writer.advance()
                self.looked_at()
            assert writer.error is None, writer.error

    def looked_at(self) -> None:
        """What must be so after each single step."""

    def teardown(self) -> None:
        for writer in self.writers:
            writer.kill()
        type(self).count("steps of state machines", self.steps)
        shutil.rmtree(self.folder)


class ReceiptMachine(_Machine):
    """Several make one output, for the first time or anew; a janitor comes when nobody is at work."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[str, tuple[bytes, bool]] = {}  # every writer's content, and whether anew, by its SHA-256
        self.counts: Receipt | None = None

    @precondition(lambda self: len(self.writers) < 4)
    @rule(anew=st.booleans())
    def a_writer_comes(self, anew: bool) -> None:
        content = f"rows of writer {len(self.made)}".encode() * 3
        self.made[hashlib.sha256(content).hexdigest()] = (content, anew)
        path = self.folder / f"rows-{len(self.made)}"
        path.write_bytes(content)
        self.writers.append(Writer(self.store, partial(_keep, path, anew)))

    @precondition(lambda self: all(writer.finished for writer in self.writers))
    @rule()
    def a_janitor_comes(self) -> None:
        list(Outputs(self.store).sweep(lambda _: True, datetime.now(UTC) + _LATER, remove=True))
        named = {file.key for file in self.counts.files} if self.counts else set()
        assert {stored.key for stored in self.store.list("outputs/")} == named

    @invariant()
    def looked_at(self) -> None:
        """What the receipt names is whole, and one that was there stays, unless it was made anew."""
        outputs = Outputs(self.store)
        try:
            now = outputs.receipts.read(ADDRESS)
        except NotFoundError:
            assert self.counts is None, "the receipt is gone"
            return
        (file,) = now.files
        content, anew = self.made[file.sha256]
        assert self.counts is None or self.counts == now or anew, "the first receipt was replaced"
        self.counts = now
        with outputs.open(now, "rows") as stream:
            assert stream.read() == content
        assert now.rows == len(content)

    @rule()
    def all_have_ended(self) -> None:
        ended = list(self.writers)
        self.all_end()
        for writer in ended:  # each is told of an output that was complete, its own or another's
            (file,) = writer.answer.files
            assert file.sha256 in self.made
        self.a_janitor_comes()


def _keep(path: Path, anew: bool, store: ObjectStore) -> Receipt:
    draft = Draft(ADDRESS, "0a1b2c")
    return Outputs(store).keep(draft, {"rows": path}, path.stat().st_size, replace=anew)


@cache
def _bundles() -> list[tuple[Path, str]]:
    """Three bundles of one model, with their addresses. Made once."""
    root, found = Path(tempfile.mkdtemp(prefix="bundles-")), []
    for number in range(3):
        identity = replace(IDENTITY, date=IDENTITY.date + timedelta(days=number))
        make_bundle(root / str(number), identity)
        found.append((root / str(number), identity.address(f"a{number}")))
    return found


class PointerMachine(_Machine):
    """Several publish bundles and point at them, or roll back, as exports and operators do."""

    def __init__(self) -> None:
        super().__init__()
        self.pointer: Pointer | None = None
        for folder, address in _bundles():
            BundleRegistry(self.store).publish(folder, address)
        self.published = {address for _, address in _bundles()}

    @precondition(lambda self: len(self.writers) < 4)
    @rule(which=st.integers(0, 2))
    def an_export_comes(self, which: int) -> None:
        folder, address = _bundles()[which]
        attempt = f"{address}{len(self.published)}"
        self.published.add(attempt)
        self.writers.append(Writer(self.store, partial(_publish_and_point, folder, attempt)))

    @precondition(lambda self: len(self.writers) < 4)
    @rule(which=st.integers(0, 2))
    def an_operator_promotes(self, which: int) -> None:
        self.writers.append(Writer(self.store, partial(_point, _bundles()[which][1])))

    @precondition(lambda self: len(self.writers) < 4)
    @rule()
    def an_operator_rolls_back(self) -> None:
        self.writers.append(Writer(self.store, _roll_back))

    @rule(which=_WHICH)
    def all_have_ended(self, which: int) -> None:
        self.all_end()
        # With nobody at work, what was not published to its end is found and removed, and nothing else.
        registry = BundleRegistry(self.store)
        list(registry.sweep(lambda _: True, datetime.now(UTC) + _LATER, remove=True))
        assert {stored.key.rpartition("/")[0] for stored in self.store.list("bundles/")} == {
            version.address for version in registry.versions()
        }

    @invariant()
    def looked_at(self) -> None:
        """The pointer leads to a whole bundle, and each move builds on the one before: none is lost."""
        registry = BundleRegistry(self.store)
        now, before = registry.resolve("production", IDENTITY.model), self.pointer
        if now is None:
            assert before is None, "the pointer is gone"
            return
        registry.check(IDENTITY.model, now)
        if before is None or now.etag != before.etag:
            if before is None:
                assert now.history == ()
            elif now.held:
                assert now.history == before.history[before.history.index(now.address) + 1 :]
            else:
                served = [one for one in (before.address, *before.history) if one != now.address]
                assert list(now.history) == list(dict.fromkeys(served))[:HISTORY]
            assert before is None or before.address == now.address or before.address in now.left
        self.pointer = now


def _publish_and_point(folder: Path, address: str, store: ObjectStore) -> None:
    BundleRegistry(store).publish(folder, address)
    _point(address, store)


def _point(address: str, store: ObjectStore) -> None:
    registry = BundleRegistry(store)
    while True:
        current = registry.resolve("production", IDENTITY.model)
        pointer = pointer_to(store, address, pointed_at=datetime.now(UTC), current=current)
        try:
            registry.point("production", IDENTITY.model, pointer, current.etag if current else None)
            return
        except ConflictError:
            continue


def _roll_back(store: ObjectStore) -> None:
    current = BundleRegistry(store).resolve("production", IDENTITY.model)
    if current is not None:
        try:
            roll_back(store, "production", IDENTITY.model, current, datetime.now(UTC))
        except (BundleError, ConflictError):
            return  # there is none to go back to, or somebody was faster: the operator is told


@pytest.mark.parametrize("machine", [ReceiptMachine, PointerMachine])
@pytest.mark.parametrize("store", list(STORES))
def test_no_order_of_steps_and_deaths_breaks_a_promise(store: str, machine: type[_Machine], count: Count) -> None:
    """A receipt names what is whole, and the first stays; a pointer leads to a whole bundle, and no move is lost."""
    examples = {"a folder": 300 if FULL else 40, "S3": 40 if FULL else 6}[store]
    made: dict[str, Any] = {"make_store": staticmethod(STORES[store]), "count": staticmethod(count)}
    run_state_machine_as_test(
        type(machine.__name__, (machine,), made),
        settings=settings(
            max_examples=examples,
            stateful_step_count=50,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
