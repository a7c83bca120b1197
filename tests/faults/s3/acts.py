"""What is asked of a bucket here, and what S3 may answer."""

from __future__ import annotations

import os
from collections.abc import Callable

from dsp_pipeline.storage.s3 import S3Bucket
from tests.contracts.implementations import s3_server, s3_test_client
from tests.faults.proxy import Answer

MIB = 1 << 20
CONTENT = os.urandom(MIB)
SECRET = "wJalrXUtnFEMI"  # noqa: S105 (nobody's)


def refusal(status: int, code: str, message: str = "told by S3", **more: str) -> Answer:
    """An answer as S3 writes it."""
    details = "".join(f"<{name}>{value}</{name}>" for name, value in more.items())
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message>{details}</Error>"
    return Answer(status, body.encode(), {"Content-Type": "application/xml"})


SLOW_DOWN = refusal(503, "SlowDown", "Please reduce your request rate.")
INTERNAL = refusal(500, "InternalError", "We encountered an internal error. Please try again.")


def read(store: S3Bucket, key: str) -> bytes:
    with store.get(key) as stream:
        return stream.read()


def keys(store: S3Bucket) -> list[str]:
    return [one.key for one in store.list("")]


def parts_left(store: S3Bucket) -> int:
    return len(s3_test_client(s3_server().url).list_multipart_uploads(Bucket=store.bucket).get("Uploads", ()))


ACTS: dict[str, Callable[[S3Bucket], object]] = {
    "get": lambda store: read(store, "k"),
    "put": lambda store: store.put("k", b"2"),
    "list": lambda store: list(store.list("a/")),
    "delete": lambda store: store.delete("k"),
}
