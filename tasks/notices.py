"""A notice for each task that failed: by luigi's own notifications (e-mail, SNS), and to Slack.

Luigi's [email] section says to whom, or DSP_NOTIFY_SNS_TOPIC_ARN names a topic. DSP_NOTIFY_SLACK_WEBHOOK_URL, which
holds a secret, is filled from Secrets Manager. As luigi has it, nothing is sent from a terminal.
"""

from __future__ import annotations

import logging
import os
import shlex
import socket
import sys
from collections import deque
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

import luigi
from luigi import notifications
from luigi.worker import TaskProcess, Worker

from dsp_pipeline.errors import first_line
from dsp_pipeline.monitoring.notice import LINES, Notice, post_to_slack, without_secrets
from tasks import stopped
from tasks.settings import platform

log = logging.getLogger("dsp")

TOPIC, WEBHOOK = "DSP_NOTIFY_SNS_TOPIC_ARN", "DSP_NOTIFY_SLACK_WEBHOOK_URL"
# Stands between what luigid knows of a failed task and the last lines of its process, which its page shows too.
_LINES = "\nLast log lines:\n"

_luigi_handles = TaskProcess._handle_run_exception
_began = datetime.now(UTC)
_told: WeakKeyDictionary[Worker, set[str]] = WeakKeyDictionary()


class _Recent(logging.Handler):
    """The last lines of this process, as the log has them."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=LINES)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.extend(self.format(record).splitlines())


_recent = _Recent()


def _handles(process: TaskProcess, error: BaseException) -> str:
    return f"{_luigi_handles(process, error)}{_LINES}" + "\n".join(_recent.lines)


def _notify(worker: Worker, task: luigi.Task, told: str, subject: str, headline: str) -> None:
    """In the place of luigi's e-mail, for which it calls this once for each failure. `told` is what luigid knows."""
    known = _told.setdefault(worker, set())
    if stopped.asked() or task.task_id in known:
        return
    known.add(task.task_id)
    notice = _notice(task, told, "failed" if "FAILED" in subject else "cannot be planned")
    text = without_secrets(notice.text, os.environ)
    try:
        notifications.send_error_email(without_secrets(notice.subject, os.environ), text, task.owner_email)
    except Exception as error:  # of boto3, smtplib, or whatever [email] method names
        why = without_secrets(first_line(error), os.environ)
        log.warning("the notice that %s failed could not be sent (%s: %s)", task, type(error).__name__, why)
    if webhook := _webhook():
        problem = post_to_slack(webhook, text)
        if problem:
            log.warning("the notice that %s failed did not reach Slack (%s)", task, problem)


def _webhook() -> str:
    """Empty where luigi would send no e-mail either: a person at a terminal sees the failure."""
    return "" if sys.stdout.isatty() and not notifications.email().force_send else os.environ.get(WEBHOOK, "")


def _notice(task: luigi.Task, told: str, what: str) -> Notice:
    why, _, lines = told.partition(_LINES)
    settings = platform().settings
    words = _words(task)
    commands = [shlex.join(["luigi", "--module", "tasks", *words])]
    if settings.mode == "cloud":
        commands.append(f'make run-task TASK="{shlex.join(words)}"')
    return Notice(
        task=str(task),
        environment=settings.environment,
        what=what,
        why=_sentence(why),
        attempt=_attempt(settings.revision),
        commands=commands,
        lines=lines.splitlines() if lines else list(_recent.lines),
    )


def _attempt(revision: str) -> str:
    """Which of all runs it was in, and where."""
    scheduled = os.environ.get("DSP_SCHEDULED_AT", "")
    return (
        f"in the run of `{shlex.join(['luigi', *sys.argv[1:]])}` that began at {_began:%Y-%m-%d %H:%M:%S} UTC"
        f"{f', scheduled for {scheduled},' if scheduled else ''} on {socket.gethostname()} "
        f"(process {os.getpid()}, revision {revision[:12] or 'unknown'})"
    )


def _sentence(told: str) -> str:
    """The last line of a traceback, without the name of an error that says all in its sentence."""
    last = next((line for line in reversed(told.splitlines()) if line.strip()), "unknown")
    return last.partition(": ")[2] if last.startswith("dsp_pipeline.errors.") else last


def _words(task: luigi.Task) -> list[str]:
    """The task as luigi's command takes it, without what would be so anyway."""
    words = [task.task_family]
    for name, parameter in task.get_params():
        value: Any = getattr(task, name)
        family = task.task_family
        if parameter.has_task_value(family, name) and parameter.task_value(family, name) == value:
            continue
        words.append(f"--{name.replace('_', '-')}")
        if not isinstance(parameter, luigi.BoolParameter):  # whose name alone says yes
            words.append(parameter.serialize(value))
    return words


def configure() -> None:
    """Called when the tasks are imported, after logging is set up."""
    (shown,) = logging.getLogger("dsp").handlers
    _recent.setFormatter(shown.formatter)
    for name in ("dsp", "luigi-interface", "luigi"):
        logging.getLogger(name).addHandler(_recent)
    TaskProcess._handle_run_exception = _handles  # type: ignore[method-assign]  # luigi has no other place for it
    Worker._email_error = _notify  # type: ignore[method-assign]
    topic = os.environ.get(TOPIC, "")
    if topic:
        # As if luigi.cfg said so; what it does say in [email] wins.
        notifications.email.method._default, notifications.email.receiver._default = "sns", topic
        if topic.count(":") == 5:  # arn:aws:sns:REGION:ACCOUNT:NAME, and luigi's client asks for the region
            os.environ.setdefault("AWS_DEFAULT_REGION", topic.split(":")[3])
