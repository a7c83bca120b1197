from __future__ import annotations

from pathlib import Path

import pytest

from tests.console.lake import copied, lake
from tests.e2e.folder import Folder


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The lake that the tests of `dsp` read."""
    return lake(tmp_path_factory)


@pytest.fixture
def own(made: Folder, tmp_path: Path) -> Folder:
    """A copy of it that a test may change."""
    return copied(made, tmp_path)
