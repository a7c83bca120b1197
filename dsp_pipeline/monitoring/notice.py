"""What people are told of a task that failed: enough to know what to do without logging in anywhere."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LINES, WIDEST = 20, 500  # of the log; Slack cuts texts that are longer than these may be together
_PATIENCE = 5.0  # seconds

_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")
_SECRET = re.compile(r"SECRET|TOKEN|PASSWORD|WEBHOOK|CREDENTIAL|API_?KEY|TRACKING_URI")
_SHORTEST = 6  # characters of a secret: a shorter one would stand in any word


@dataclass(frozen=True)
class Notice:
    """`why` is one sentence, `attempt` says when, where and for which run it was tried, `commands` run it again."""

    task: str
    environment: str
    what: str
    why: str
    attempt: str
    commands: Sequence[str]
    lines: Sequence[str]

    @property
    def subject(self) -> str:
        return f"{self.environment}: {self.task} {self.what}"

    @property
    def text(self) -> str:
        return "\n".join(
            [
                f"{self.task} {self.what} ({self.environment}).",
                f"Why: {self.why}",
                f"Attempt: {self.attempt}",
                "",
                "Run it again:",
                *(f"    {command}" for command in self.commands),
                "",
                "Last log lines:",
                *(f"    {line[:WIDEST]}" for line in self.lines[-LINES:]),
            ]
        )


def without_secrets(text: str, environment: Mapping[str, str]) -> str:
    """The text without the values of variables that hold secrets, and without what stands before an @ in a URL."""
    for name, value in environment.items():
        if _SECRET.search(name.upper()) and len(value) >= _SHORTEST:
            text = text.replace(value, "…")
    return _USERINFO.sub("…@", text)


def post_to_slack(webhook: str, text: str) -> str:
    """What went wrong; empty if Slack took it.

    The webhook's address is a secret, for who knows it can post, and `requests` has it in its messages.
    """
    import requests

    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    try:
        answer = requests.post(webhook, json={"text": f"```{escaped}```"}, timeout=_PATIENCE, allow_redirects=False)
    except requests.RequestException as error:
        return type(error).__name__
    return "" if answer.status_code == 200 else f"it answers {answer.status_code}"
