"""What a run prints: one line a task, one sentence an error, and no traceback unless asked."""

from __future__ import annotations

import logging
import re
import sys
import traceback
from types import TracebackType

from luigi.parameter import ParameterException
from luigi.task_register import TaskClassException

from dsp_pipeline.errors import DspError

# Errors that say all a user needs in one sentence.
_TOLD = (DspError, ParameterException, TaskClassException)
_ERROR_LINE = re.compile(r"^dsp_pipeline\.errors\.\w+: ", re.MULTILINE)
_NOISE = ("Data for %s does not exist (yet?)",)


class SentenceFormatter(logging.Formatter):
    """Ends an error that the user can mend with its sentence instead of a traceback."""

    show_traceback = False

    def formatException(self, info: tuple) -> str:  # type: ignore[type-arg, override]
        if isinstance(info[1], _TOLD) and not self.show_traceback:
            return f"  {info[1]}"
        return super().formatException(info)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        record.exc_text = None
        if record.exc_info or self.show_traceback:
            return text
        # Luigi puts the traceback of a failing requires() or complete() into the message itself.
        head, found, rest = text.partition("Traceback (most recent call last):")
        told = list(_ERROR_LINE.finditer(rest)) if found else []
        return f"{head.rstrip()} {rest[told[-1].end() :].strip()}" if told else text


class _WorthSaying(logging.Filter):
    """Of luigi's own lines: warnings, and the summary at the end."""

    def filter(self, record: logging.LogRecord) -> bool:
        if str(record.msg).startswith(_NOISE):
            return False  # told once for all hours, see tasks/raw_log.py
        return record.levelno >= logging.WARNING or "Execution Summary" in str(record.msg)


def configure() -> None:
    """Called when the tasks are imported, which is before luigi reads its command line."""
    handler = logging.StreamHandler()
    handler.setFormatter(SentenceFormatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    for name in ("dsp", "luigi-interface", "luigi"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
    logging.getLogger("dsp").setLevel(logging.INFO)
    luigi = logging.getLogger("luigi-interface")
    luigi.setLevel(logging.INFO)
    luigi.filters = [_WorthSaying()]
    sys.excepthook = _one_sentence


def _one_sentence(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, _TOLD) and not SentenceFormatter.show_traceback:
        print(f"error: {error}", file=sys.stderr)
    else:
        traceback.print_exception(kind, error, trace)
