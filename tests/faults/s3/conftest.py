"""A bucket behind a proxy that does harm, and the same past it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config

from console.standins.s3 import S3Server
from dsp_pipeline.storage.s3 import S3Bucket, s3_client
from tests.contracts.implementations import new_bucket, s3_server, s3_test_client
from tests.faults.proxy import FaultProxy
from tests.faults.s3.acts import CONTENT, MIB, SECRET


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    with FaultProxy(s3_server().url) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[Any]:
    settings = {**S3Server.settings_of(proxy.url), "aws_secret_access_key": SECRET}
    client = s3_client(**settings)
    yield client
    client.close()


@pytest.fixture
def store(client: Any) -> S3Bucket:
    """Our lake, through the proxy."""
    return S3Bucket(new_bucket(), "lake", client=client, multipart_above=9 * MIB)


@pytest.fixture
def impatient(store: S3Bucket, proxy: FaultProxy) -> Iterator[S3Bucket]:
    """The same, but it waits for a second only, and asks three times."""
    config = Config(read_timeout=1, retries={"total_max_attempts": 3})
    client = s3_client(config=config, **S3Server.settings_of(proxy.url))
    yield S3Bucket(store.bucket, "lake", client=client)
    client.close()


@pytest.fixture
def truth(store: S3Bucket) -> S3Bucket:
    """The same, past the proxy."""
    return S3Bucket(store.bucket, "lake", client=s3_test_client(s3_server().url))


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """A file of two parts."""
    path = tmp_path / "big"
    path.write_bytes(CONTENT * 12)
    return path
