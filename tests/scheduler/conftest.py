from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scheduler.server import Luigid


@pytest.fixture
def luigid(tmp_path: Path) -> Iterator[Luigid]:
    """Not started; ended after the test."""
    server = Luigid(tmp_path / "luigid")
    yield server
    if hasattr(server, "process") and server.process.poll() is None:
        server.process.kill()
        server.process.wait()
