"""Who is told of runs, and whether they can be reached: nothing else says so, because a run goes on without them."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

from dsp_pipeline.errors import first_line
from tasks.notices import TOPIC, WEBHOOK
from tasks.settings import receivers

_PATIENCE = 3.0  # seconds


def watching() -> Iterator[tuple[str, str | None]]:
    """Each with what is wrong with it, None if nothing is that can be seen from here."""
    to = receivers()
    if to.dogstatsd_host:
        yield f"DogStatsD agent {to.dogstatsd_host}:{to.dogstatsd_port}", _address(to.dogstatsd_host)
    if to.pushgateway:
        yield f"Pushgateway {to.pushgateway}", _ready(to.pushgateway)
    for name, variable in (("Slack", WEBHOOK), ("SNS", TOPIC)):
        if os.environ.get(variable):
            yield name, None


def _address(host: str) -> str | None:
    """UDP tells no more: whoever listens does not answer."""
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:
        return f"it has no address ({first_line(error)})"
    return None


def _ready(url: str) -> str | None:
    import requests

    try:
        answer = requests.get(f"{url.rstrip('/')}/-/ready", timeout=_PATIENCE)
    except requests.RequestException as error:
        return f"it does not answer ({type(error).__name__})"
    return None if answer.ok else f"it answers {answer.status_code}"
