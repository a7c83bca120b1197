"""Images that are built once for all tests of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infra.containers import Images, Luigid, Worker, build, own, running


@pytest.fixture(scope="session")
def images() -> Images:
    return build()


@pytest.fixture
def luigid(images: Images, tmp_path: Path) -> Iterator[Luigid]:
    with running(images.luigid, own(tmp_path / "state")) as found:
        yield found


@pytest.fixture
def worker(images: Images, luigid: Luigid, tmp_path: Path) -> Worker:
    return Worker(images.pipeline, luigid, own(tmp_path / "data"))
