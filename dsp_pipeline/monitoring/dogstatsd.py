"""Measurements to a Datadog agent, by UDP, each when it is made.

Nobody waits for an agent: what it does not take is lost, and told once.
"""

from __future__ import annotations

import logging
import mmap
import re
import socket
from collections.abc import Iterable

from dsp_pipeline.monitoring.metrics import COUNT, GAUGE, METRICS, PROMETHEUS, Measurement

log = logging.getLogger("dsp")

# https://docs.datadoghq.com/getting_started/tagging/: what Datadog makes of a tag, made here, so that what is sent is
# what a query must say; a comma or a bar would be read as the end of the tag.
_NOT_IN_TAGS = re.compile(r"[^a-z0-9_\-:./]")
_LONGEST = 200


class DogStatsDAgent:
    """OSError if its host has no address; ModuleNotFoundError without the library."""

    def __init__(self, host: str, port: int) -> None:
        from datadog.dogstatsd.base import DogStatsd

        # The library would look the name up for each packet that is lost, and wait each time.
        address = str(socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][4][0])
        library = logging.getLogger("datadog.dogstatsd")
        library.handlers, library.propagate = [_Once(f"{host}:{port}")], False
        # Its telemetry is metrics about the client itself.
        self._client = DogStatsd(host=address, port=port, disable_telemetry=True)

    def send(self, measurements: Iterable[Measurement]) -> None:
        """Those for Prometheus alone are left out."""
        sends = {COUNT: self._client.increment, GAUGE: self._client.gauge}
        for one in measurements:
            metric = METRICS[one.name]
            if metric.only != PROMETHEUS:
                tags = [tag(name, one.tags[name]) for name in metric.all_tags if name in one.tags]
                sends.get(metric.kind, self._client.distribution)(one.name, one.value, tags=tags)


def tag(name: str, value: str) -> str:
    """As Datadog keeps it: small letters, digits and `_-:./`, `_` for everything else, 200 characters at most."""
    return _NOT_IN_TAGS.sub("_", f"{name}:{value}".lower())[:_LONGEST]


class _Once(logging.Handler):
    """What the library has to say of an agent that is away: one line a run, and not one a packet."""

    def __init__(self, agent: str) -> None:
        super().__init__(logging.WARNING)
        self._agent = agent
        self._told = mmap.mmap(-1, 1)  # which processes that are forked from this one share

    def emit(self, record: logging.LogRecord) -> None:
        if not self._told[0]:
            self._told[0] = 1
            log.warning("metrics do not reach the DogStatsD agent at %s (%s)", self._agent, record.getMessage())
