"""The edge: luigi.cfg, the command line and the environment become Settings here, and nowhere else."""

from __future__ import annotations

import logging
import os
import re
import subprocess
from datetime import date
from functools import lru_cache
from pathlib import Path

import luigi
from luigi.parameter import MissingParameterException

from dsp_pipeline.errors import SettingsError
from dsp_pipeline.platform import PACKAGE, Platform
from dsp_pipeline.settings import Settings

log = logging.getLogger("dsp")

# Threads of XGBoost that wait for each other would spin; on a machine whose cores are all at work that made training
# seven times as slow. Read when its library is loaded, which is later than this.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


class dsp(luigi.Config):  # noqa: N801  # luigi takes the name of the section in luigi.cfg from the class
    """Section [dsp] of luigi.cfg; each is an option too, as in --dsp-lake PATH."""

    mode = luigi.Parameter(description="where outputs live: local")
    environment = luigi.Parameter(default="local", description="whose serving pointers a run moves")
    lake = luigi.Parameter(description="folder of everything that is made")
    raw = luigi.Parameter(description="folder in which raw logs arrive")
    source = luigi.Parameter(description="layout of the raw logs: a file of dsp_pipeline/events/sources/")
    first_date = luigi.DateParameter(description="first day that there are logs of")
    max_rejected_share = luigi.FloatParameter(default=0.05, description="share of bad lines (0 to 1) an hour may have")
    memory_limit_mb = luigi.IntParameter(default=300, description="memory of the query engine in one task")
    threads = luigi.IntParameter(default=2, description="threads of one task")
    package = luigi.Parameter(
        default=str(PACKAGE), description="folder with events/sources, features, models and experiments"
    )
    traceback = luigi.BoolParameter(default=False, description="show tracebacks of errors that a user can mend")


@lru_cache(maxsize=1)
def platform() -> Platform:
    """The platform of this process. SettingsError, naming the setting, if one is missing or wrong."""
    try:
        given = dsp()
    except MissingParameterException as error:
        setting = str(error).partition("requires the '")[2].partition("'")[0] or str(error)
        raise SettingsError(f"[dsp] {setting} is not set; give it in luigi.cfg or as --dsp-{setting}.") from None
    except ValueError as error:
        setting = str(error).rpartition("value of '")[2].rstrip("'.") or "?"
        raise SettingsError(
            f"[dsp] {setting} cannot be read ({error.__context__ or error}); see what it may be in tasks/settings.py."
        ) from None
    if not 0 <= given.max_rejected_share <= 1:
        raise SettingsError(f"[dsp] max_rejected_share is {given.max_rejected_share}; it is a share from 0 to 1.")
    for name, least in (("memory_limit_mb", 64), ("threads", 1)):
        if getattr(given, name) < least:
            raise SettingsError(f"[dsp] {name} is {getattr(given, name)}; it is at least {least}.")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", given.environment):
        raise SettingsError(f"[dsp] environment is {given.environment!r}; use small letters, digits, _ and -.")
    settings = Settings(
        mode=given.mode,
        environment=given.environment,
        lake=Path(given.lake).absolute(),
        raw=Path(given.raw).absolute(),
        source=given.source,
        first_date=given.first_date,
        max_rejected_share=given.max_rejected_share,
        memory_limit_mb=given.memory_limit_mb,
        threads=given.threads,
        revision=_revision(),
    )
    _refuse_unwritable(settings.lake)
    made = Platform(settings, Path(given.package))
    _ = made.source  # a wrong source is told before anything else
    log.info("%s", made)
    return made


def _refuse_unwritable(lake: Path) -> None:
    """SettingsError before anything is planned, instead of an error from every task."""
    try:
        lake.mkdir(parents=True, exist_ok=True)
        problem = None if os.access(lake, os.W_OK | os.X_OK) else "Permission denied"
    except OSError as error:
        problem = error.strerror
    if problem:
        raise SettingsError(f"{lake} cannot be written: {problem}; give [dsp] lake a folder that you may write.")


def refuse_before_first(day: date) -> None:
    """SettingsError if there can be no logs of the day."""
    first = platform().settings.first_date
    if day < first:
        raise SettingsError(f"{day} is before the first day of logs, {first} ([dsp] first_date); take a later day.")


def _revision() -> str:
    """The commit of the code, from DSP_REVISION (an image has no .git) or git; empty if neither knows."""
    if "DSP_REVISION" in os.environ:
        return os.environ["DSP_REVISION"]
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=PACKAGE, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
