"""A proxy in whose care a share of all requests comes to harm, by a seed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from tests.faults.proxy import Answer, CutDownload, CutUpload, Delay, Fault, FaultProxy, LoseAnswer

_XML = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{0}</Code><Message>told by S3</Message></Error>'
_JSON = '{{"error": {{"code": {0}, "message": "told", "errors": [{{"reason": "{1}", "message": "told"}}]}}}}'


def _s3(status: int, code: str) -> Answer:
    return Answer(status, _XML.format(code).encode(), {"Content-Type": "application/xml"})


def _bigquery(status: int, reason: str) -> Answer:
    return Answer(status, _JSON.format(status, reason).encode(), {"Content-Type": "application/json"})


S3 = (
    *(_s3(503, "SlowDown"), _s3(500, "InternalError"), _s3(503, "ServiceUnavailable")),
    *(Delay(0.2), CutUpload(40), CutDownload(60), LoseAnswer()),
)
BIGQUERY = (
    *(_bigquery(503, "backendError"), _bigquery(500, "internalError"), _bigquery(429, "rateLimitExceeded")),
    *(Delay(0.2), CutDownload(30), LoseAnswer()),
)


class Weather(FaultProxy):
    """Of all requests this share meets one of the faults."""

    def __init__(self, target: str, faults: Sequence[Fault], share: float, seed: str) -> None:
        self._faults, self._share, self._draw = faults, share, random.Random(seed)  # noqa: S311
        self.harmed = 0
        super().__init__(target)

    def note(self, method: str, path: str, headers: Mapping[str, str]) -> Fault | None:
        with self._lock:
            if self._draw.random() > self._share:
                return None
            fault = self._draw.choice(self._faults)
            # What has no body cannot be cut in it.
            if isinstance(fault, CutUpload) and int(headers.get("content-length", "0")) <= fault.after:
                return None
            self.harmed += 1
            return fault
