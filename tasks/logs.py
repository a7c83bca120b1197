"""What a run prints: one line a task, one sentence an error, and no traceback unless asked."""

from __future__ import annotations

import logging
import re
import sys
import traceback
import warnings
from types import TracebackType

from luigi.configuration import get_config
from luigi.configuration.cfg_parser import InterpolationMissingEnvvarError
from luigi.parameter import MissingParameterException, ParameterException
from luigi.retcodes import retcode
from luigi.rpc import RPCError
from luigi.setup_logging import InterfaceLogging
from luigi.task_register import TaskClassException, TaskClassNotFoundException

from dsp_pipeline.errors import DspError, UnknownNameError
from tasks import stopped

# Errors that say all a user needs in one sentence.
_TOLD = (DspError, ParameterException, TaskClassException, RPCError, stopped.Stopped)
_ERROR_LINE = re.compile(r"^dsp_pipeline\.errors\.\w+: ", re.MULTILINE)
_PLANNED = re.compile(r"Will not run (.+) or any dependencies")
_NOISE = (
    "Data for %s does not exist (yet?)",  # told once for all hours, see tasks/raw_log.py
    "Failed connecting to remote scheduler",  # told by the error that follows
    "Retrying attempt",
    "Wait for",
)
# As in luigi.cfg, which may not be found: by luigi's own, most runs that fail end with 0.
_RETCODES = {
    "already_running": 10,
    "missing_data": 20,
    "not_run": 25,
    "task_failed": 30,
    "scheduling_error": 35,
    "unhandled_exception": 40,
}


class SentenceFormatter(logging.Formatter):
    """Says an error that the user can mend in one sentence instead of a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        if dsp_traceback():
            return super().format(record)
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and stopped.asked():
            error = stopped.Stopped()  # whatever the interrupted library made of it
        if isinstance(error, _TOLD):
            return self._line(record, f"{_failed(record)}{sentence(error)}")
        # Luigi puts the traceback of a failing requires() or complete() into the message itself.
        head, found, trace = record.getMessage().partition("Traceback (most recent call last):")
        told = list(_ERROR_LINE.finditer(trace)) if found else []
        if told:
            record.levelname, said = "ERROR", trace[told[-1].end() :].strip()
            task = _PLANNED.match(head)
            return self._line(record, f"{task[1]} cannot be planned: {said}" if task else f"{head.strip()} {said}")
        return super().format(record)

    def _line(self, record: logging.LogRecord, message: str) -> str:
        record.message, record.asctime = message, self.formatTime(record, self.datefmt)
        return self.formatMessage(record)


def _failed(record: logging.LogRecord) -> str:
    """The task that luigi's "Worker … failed" is about; its other messages around an error say nothing of use."""
    if "failed" in str(record.msg) and isinstance(record.args, tuple) and record.args:
        return f"{record.args[-1]} failed: "
    return ""


def told_in_a_sentence(error: BaseException) -> bool:
    """Whether the error says all that a user needs, so that a traceback would only hide it."""
    return isinstance(error, _TOLD) or _unset(error) is not None


def _unset(error: BaseException) -> InterpolationMissingEnvvarError | None:
    """The variable that luigi itself misses, as for [core] scheduler_host; tasks/settings.py reads our own sections."""
    return error.__cause__ if isinstance(error.__cause__, InterpolationMissingEnvvarError) else None


def sentence(error: BaseException) -> str:
    """What to tell of an error; luigi's own are put into our words."""
    if isinstance(error, MissingParameterException):
        task, _, rest = str(error).partition("[")
        name = rest.partition("requires the '")[2].partition("'")[0]
        return f"{task} needs --{name.replace('_', '-')}; see luigi --module tasks {task} --help."
    if isinstance(error, TaskClassNotFoundException):
        from tasks import __all__ as known

        return str(UnknownNameError("task", str(error).removeprefix("No task ").partition(".")[0], known))
    if isinstance(error, RPCError):
        return f"luigid does not answer ({error}); start it, on a laptop with `make ui`, or add --local-scheduler."
    missing = _unset(error)
    if missing is not None:
        variable = str(missing).partition("variable ")[2].partition(".")[0]
        return f"[{missing.section}] {missing.option} is not set: luigi.cfg takes it from the variable {variable}."
    return str(error)


class _WorthSaying(logging.Filter):
    """Of luigi's own lines: warnings, and the summary at the end."""

    def filter(self, record: logging.LogRecord) -> bool:
        if str(record.msg).startswith(_NOISE):
            return False
        return record.levelno >= logging.WARNING or "Execution Summary" in str(record.msg)


def dsp_traceback() -> bool:
    """[dsp] traceback, read directly: an error may be just that the other settings are wrong."""
    return "--dsp-traceback" in sys.argv or bool(get_config().getboolean("dsp", "traceback", False))


def configure() -> None:
    """Called when the tasks are imported, which is before luigi reads its command line."""
    # Luigi warns of settings in [core] that its RPC client reads by itself.
    warnings.filterwarnings("ignore", message=".*'rpc_retry_")
    warnings.filterwarnings("ignore", message='Parameter "param_name" with value "None"')  # of its own RangeDaily
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
    InterfaceLogging._configured = True  # luigi would set it up once more where no luigi.cfg forbids it
    for name, code in _RETCODES.items():
        getattr(retcode, name)._default = code
    sys.excepthook = _one_sentence


def _one_sentence(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Of what is wrong before luigi runs: by Python's own it ends with 1, and what luigi sees itself with its code."""
    if told_in_a_sentence(error) and not dsp_traceback():
        print(f"error: {sentence(error)}", file=sys.stderr)
    else:
        traceback.print_exception(kind, error, trace)
    if told_in_a_sentence(error):
        raise SystemExit(_RETCODES["unhandled_exception"])
