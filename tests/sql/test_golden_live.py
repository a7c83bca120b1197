"""Every expression of golden.json gives its documented result on BigQuery itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from google.api_core import exceptions as api
from google.cloud import bigquery

from tests.contracts.implementations import LIVE_PROJECT, bigquery_client, live_dataset
from tests.sql.test_golden import RIGHT, WRONG, assert_equal

_AT_ONCE = 50  # expressions in a query

if not LIVE_PROJECT:
    pytest.skip("skipped: DSP_TEST_BIGQUERY_PROJECT is not set", allow_module_level=True)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> bigquery.Client:
    return bigquery_client(live_dataset(tmp_path_factory.mktemp("golden")))


# DuckDB cannot write these as BigQuery does, and stops instead of writing them otherwise.
STRICTER_HERE = {"cast(1.0/3 as string)", "cast(timestamp '2026-11-22 05:00:00.5+00' as string)"}


def answers(client: bigquery.Client, cases: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], pa.Table | str]]:
    """Each case with its column, many by one query, or with the error that it alone is."""
    columns = ", ".join(f"{case['expression']} AS r{n}" for n, case in enumerate(cases))
    try:
        found = client.query_and_wait(f"SELECT {columns}", job_retry=None).to_arrow(create_bqstorage_client=False)
    except api.GoogleAPICallError as error:
        if len(cases) == 1:
            yield cases[0], str(error)
            return
        for case in cases:
            yield from answers(client, [case])
    else:
        for n, case in enumerate(cases):
            yield case, found.select([n])


def test_bigquery_gives_what_it_documents(client: bigquery.Client) -> None:
    """In value and type; all that differ are named at once."""
    wrong = []
    for first in range(0, len(RIGHT), _AT_ONCE):
        for case, found in answers(client, RIGHT[first : first + _AT_ONCE]):
            if isinstance(found, str):
                wrong.append(f"{case['expression']}: {found}")
                continue
            try:
                assert_equal(found.schema.field(0).type, found.column(0)[0].as_py(), case["result"])
            except AssertionError as error:
                wrong.append(f"{case['expression']}: {error}")
    assert wrong == []


def test_bigquery_stops_where_it_is_said_to(client: bigquery.Client) -> None:
    """What golden.json calls an error is one."""
    found = {case["expression"] for case in WRONG if isinstance(next(answers(client, [case]))[1], pa.Table)}
    assert found == STRICTER_HERE
