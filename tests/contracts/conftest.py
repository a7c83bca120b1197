"""What the tests of warehouses share: each runs on every implementation."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsp_pipeline.warehouse.base import Warehouse
from tests.contracts.implementations import WAREHOUSES


@pytest.fixture(params=sorted(WAREHOUSES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "it's a [lake]*?" / "date=2000-01-01"


@pytest.fixture
def warehouse(name: str, root: Path) -> Warehouse:
    return WAREHOUSES[name](root)
