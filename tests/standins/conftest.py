"""One BigQuery stand-in for the tests of a process."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from google.cloud import bigquery
from google.cloud.bigquery_storage import BigQueryReadClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

from console.standins.bigquery import BigQueryServer
from tests.contracts.implementations import need_bigquery
from tests.standins.lake import connect, make_table


@pytest.fixture(scope="session")
def installed() -> None:
    need_bigquery()


@pytest.fixture(scope="session")
def server(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BigQueryServer]:
    with BigQueryServer(tmp_path_factory.mktemp("bigquery")) as running:
        yield running


@pytest.fixture(scope="session")
def client(server: BigQueryServer) -> Iterator[bigquery.Client]:
    with connect(server) as opened:
        opened.create_dataset("lake")
        yield opened


@pytest.fixture(scope="session")
def reading(server: BigQueryServer) -> Iterator[BigQueryReadClient]:
    unlimited = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(server.storage, options=unlimited) as channel:
        yield BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))


@pytest.fixture
def table(client: bigquery.Client, request: pytest.FixtureRequest) -> str:
    """An empty table, partitioned by the hour of `at`; its name is the test's."""
    return make_table(client, request.node.name.removeprefix("test_"))
