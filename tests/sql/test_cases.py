"""Each case of cases/ on both engines: the given rows in, the expected rows out."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsp_pipeline.warehouse.base import Warehouse
from tests.contracts.implementations import WAREHOUSES
from tests.sql.case import find_cases, read_case
from tests.sql.engines import answer


@pytest.fixture(scope="session")
def bigquery(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """One dataset for all cases of the process: their tables have versions of their own."""
    return WAREHOUSES["BigQueryWarehouse"](tmp_path_factory.mktemp("cases"))


@pytest.mark.parametrize("path", find_cases(), ids=lambda path: path.stem)
@pytest.mark.parametrize("engine", sorted(WAREHOUSES))
def test_rows_out_are_as_expected(engine: str, path: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The query answers the expected rows and no other, whatever it was not told of being null, empty or absent."""
    case = read_case(path)
    shared = engine == "BigQueryWarehouse"
    warehouse = request.getfixturevalue("bigquery") if shared else WAREHOUSES[engine](tmp_path)
    assert case.found(answer(case, warehouse)) == case.wanted(), f"{path.name} is not so on {engine}"
