"""The edge: luigi.cfg, the command line and the environment become Settings here, and nowhere else."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import tempfile
from configparser import ConfigParser, InterpolationError
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import luigi
from luigi.configuration import get_config
from luigi.parameter import MissingParameterException

from dsp_pipeline.errors import SettingsError, UnknownNameError
from dsp_pipeline.platform import PACKAGE, Platform
from dsp_pipeline.settings import BigQuerySettings, Federation, MetricsSettings, Settings

log = logging.getLogger("dsp")

# Threads of XGBoost that wait for each other would spin; on a machine whose cores are all at work that made training
# seven times as slow. Read when its library is loaded, which is later than this.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# ONNX Runtime would otherwise send what it does to its makers, and leave files in the home and the temporary folder.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# What MLflow's client reads itself: a server that is away keeps no worker for minutes, nobody but that server is told
# of runs, and its address, which may hold a password, is not printed.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")


class dsp(luigi.Config):  # noqa: N801  # luigi takes the name of the section in luigi.cfg from the class
    """Section [dsp] of luigi.cfg; each is an option too, as in --dsp-lake PATH."""

    mode = luigi.Parameter(description="local (folders, DuckDB) or cloud (S3, BigQuery)")
    environment = luigi.Parameter(
        default="production", description="whose serving pointers a run moves; `branch`: those of the code's git branch"
    )
    lake = luigi.Parameter(description="folder, or s3://bucket/prefix, of everything that is made")
    raw = luigi.Parameter(description="folder, or s3://bucket/prefix, in which raw logs arrive")
    scratch = luigi.Parameter(default="", description="folder for work in progress; empty: in the lake or /tmp")
    source = luigi.Parameter(description="layout of the raw logs: a file of dsp_pipeline/events/sources/")
    first_date = luigi.DateParameter(description="first day that there are logs of")
    max_rejected_share = luigi.FloatParameter(default=0.05, description="share of bad lines (0 to 1) an hour may have")
    memory_limit_mb = luigi.IntParameter(default=600, description="memory of the query engine in one task")
    threads = luigi.IntParameter(default=2, description="threads of one task")
    dask_scheduler = luigi.Parameter(
        default="", description="address of the cluster that experiments with `engine: dask` train on"
    )
    package = luigi.Parameter(
        default=str(PACKAGE), description="folder with events/sources, features, models and experiments"
    )
    traceback = luigi.BoolParameter(default=False, description="show tracebacks of errors that a user can mend")


class bigquery(luigi.Config):  # noqa: N801
    """Section [bigquery], which mode cloud needs; each is an option too, as in --bigquery-project NAME."""

    project = luigi.Parameter(description="the Google Cloud project that holds the dataset and pays for jobs")
    dataset = luigi.Parameter(description="the dataset, which must be there")
    location = luigi.Parameter(description="where the dataset is, as EU or asia-northeast1")
    max_gib_billed = luigi.FloatParameter(default=100, description="a query that would read more is refused")
    labels = luigi.Parameter(default="", description="labels of tables and jobs, as team=ads, cost-center=42")
    staging = luigi.Parameter(default="", description="gs://bucket/prefix for loads of more than one file")
    endpoint = luigi.Parameter(default="", description="address of a stand-in without credentials, for tests")
    storage_endpoint = luigi.Parameter(default="", description="host:port of the stand-in's Storage Read API")


class metrics(luigi.Config):  # noqa: N801
    """Section [metrics]: who gets numbers about runs; nobody, where neither it nor the variables name anybody."""

    dogstatsd = luigi.Parameter(
        default="", description="host or host:port of a Datadog agent; empty: DD_AGENT_HOST and DD_DOGSTATSD_PORT"
    )
    pushgateway = luigi.Parameter(
        default="",
        description="address of a Prometheus Pushgateway, as http://pushgateway:9091; empty: PUSHGATEWAY_URL",
    )


Section = TypeVar("Section", bound=luigi.Config)


def _read(section: type[Section]) -> Section:
    """A section of the configuration. SettingsError, naming the setting, if one is missing or wrong."""
    name = section.__name__
    try:
        return section()
    except MissingParameterException as error:
        setting = str(error).partition("requires the '")[2].partition("'")[0] or str(error)
        if not Path("luigi.cfg").exists() and "LUIGI_CONFIG_PATH" not in os.environ:
            there = f"{Path.cwd()} has no luigi.cfg; go to the folder that has it"
            raise SettingsError(f"[{name}] {setting} is not set, as {there}, or give --{name}-{setting}.") from None
        raise SettingsError(f"[{name}] {setting} is not set; give it in luigi.cfg or as --{name}-{setting}.") from None
    except ValueError as error:
        setting = str(error).rpartition("value of '")[2].rstrip("'.") or "?"
        why = error.__context__ or error
        if isinstance(why, InterpolationError):
            variable = str(why).partition("variable ")[2].partition(".")[0]
            raise SettingsError(
                f"[{name}] {setting} is not set: luigi.cfg takes it from the variable {variable}."
            ) from None
        raise SettingsError(
            f"[{name}] {setting} cannot be read ({why}); see what it may be in tasks/settings.py."
        ) from None


def _refuse_unknown(*sections: type[luigi.Config]) -> None:
    """UnknownNameError if luigi.cfg sets what a section does not have: nobody would read it."""
    config = get_config()
    for section in sections:
        name, known = section.__name__, [one for one, _ in section.get_params()]
        if isinstance(config, ConfigParser) and config.has_section(name):
            for given in set(config.options(name)) - set(config.defaults()):
                if given.replace("-", "_") not in known:
                    raise UnknownNameError(f"setting of [{name}]", given, known)


@lru_cache(maxsize=1)
def platform() -> Platform:
    """The platform of this process. SettingsError, naming the setting, if one is missing or wrong."""
    _refuse_unknown(dsp, bigquery, metrics)
    given = _read(dsp)
    receivers()
    if not 0 <= given.max_rejected_share <= 1:
        raise SettingsError(f"[dsp] max_rejected_share is {given.max_rejected_share}; it is a share from 0 to 1.")
    for name, least in (("memory_limit_mb", 64), ("threads", 1)):
        if getattr(given, name) < least:
            raise SettingsError(f"[dsp] {name} is {getattr(given, name)}; it is at least {least}.")
    revision, branch = _code()
    environment = _environment_of(branch) if given.environment == "branch" else given.environment
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", environment):
        raise SettingsError(f"[dsp] environment is {environment!r}; use small letters, digits, _ and -.")
    cloud = given.mode == "cloud"
    lake = given.lake if cloud else str(Path(given.lake).absolute())
    scratch = Path(given.scratch or (Path(tempfile.gettempdir()) / "dsp" if cloud else Path(lake) / ".scratch"))
    # Its list of fonts, which takes a second to make, is kept with other work and not in the home folder.
    os.environ.setdefault("MPLCONFIGDIR", str(scratch.absolute() / "matplotlib"))
    settings = Settings(
        mode=given.mode,
        environment=environment,
        lake=lake,
        raw=given.raw if cloud else str(Path(given.raw).absolute()),
        scratch=scratch.absolute(),
        source=given.source,
        dask_scheduler=given.dask_scheduler,
        first_date=given.first_date,
        max_rejected_share=given.max_rejected_share,
        memory_limit_mb=given.memory_limit_mb,
        threads=given.threads,
        mlflow_tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", ""),
        revision=revision,
        bigquery=_bigquery() if cloud else None,
    )
    made = Platform(settings, Path(given.package))
    _refuse_unwritable("scratch" if cloud or given.scratch else "lake", settings.scratch)
    log.info("%s", made)
    return made


@lru_cache(maxsize=1)  # it is asked at each event of each task
def receivers() -> MetricsSettings:
    """Who gets numbers about runs. SettingsError, naming setting or variable, if that is no address."""
    given = _read(metrics)
    agent, _, port = given.dogstatsd.partition(":")
    if not agent:
        agent, port = os.environ.get("DD_AGENT_HOST", ""), os.environ.get("DD_DOGSTATSD_PORT", "")
    if agent and port and not (port.isdecimal() and 0 < int(port) < 65536):
        raise SettingsError(
            f"the port of the DogStatsD agent {agent} is {port!r}; give [metrics] dogstatsd as host:port, "
            "or DD_DOGSTATSD_PORT, a number from 1 to 65535."
        )
    gateway = given.pushgateway or os.environ.get("PUSHGATEWAY_URL", "")
    if gateway and not re.fullmatch(r"https?://[^/@\s]+(/[^@\s]*)?", gateway):
        raise SettingsError("[metrics] pushgateway (or PUSHGATEWAY_URL) is no address; write http://host:port.")
    return MetricsSettings(agent, int(port or 8125) if agent else 8125, gateway)


def _bigquery() -> BigQuerySettings:
    given = _read(bigquery)
    forms = {
        "project": (r"[a-z][a-z0-9.:-]*[a-z0-9]", "the id of a Google Cloud project"),
        "dataset": (r"[A-Za-z0-9_]+", "letters, digits and _"),
        "location": (r"[A-Za-z0-9-]+", "a place of BigQuery, as EU or asia-northeast1"),
        "staging": (r"(gs://[a-z0-9][a-z0-9._-]+(/[\w.=/-]*)?)?", "gs://bucket or gs://bucket/prefix, or empty"),
    }
    for name, (form, meaning) in forms.items():
        if not re.fullmatch(form, getattr(given, name)):
            raise SettingsError(f"[bigquery] {name} is {getattr(given, name)!r}; it is {meaning}.")
    if given.max_gib_billed <= 0:
        raise SettingsError(f"[bigquery] max_gib_billed is {given.max_gib_billed}; it is more than 0.")
    return BigQuerySettings(
        project=given.project,
        dataset=given.dataset,
        location=given.location,
        max_bytes_billed=int(given.max_gib_billed * (1 << 30)),
        labels=_labels(given.labels),
        staging=given.staging,
        federation=_federation(),
        endpoint=given.endpoint,
        storage_endpoint=given.storage_endpoint,
    )


def _federation() -> Federation | None:
    """From the variables of a container on ECS, which Terraform and ECS itself set; None anywhere else."""
    configuration = os.environ.get("DSP_GOOGLE_CREDENTIALS", "")
    path, region = os.environ.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", ""), os.environ.get("AWS_REGION", "")
    if not configuration:
        return None
    if not path or not region:
        raise SettingsError(
            "DSP_GOOGLE_CREDENTIALS is set, but AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or AWS_REGION is not, which a "
            "container of ECS with a task role has; elsewhere unset it, and use GOOGLE_APPLICATION_CREDENTIALS."
        )
    return Federation(configuration, f"http://169.254.170.2{path}", region)


def _labels(text: str) -> dict[str, str]:
    labels = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62} *= *[a-z0-9_-]{0,63}", part):
            raise SettingsError(
                f"[bigquery] labels has {part!r}; write name=value of small letters, digits, _ and -, "
                "with commas between."
            )
        name, _, value = part.partition("=")
        labels[name.strip()] = value.strip()
    return labels


def _refuse_unwritable(setting: str, scratch: Path) -> None:
    """SettingsError before anything is planned, instead of an error from every task."""
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        problem = None if os.access(scratch, os.W_OK | os.X_OK) else "Permission denied"
    except OSError as error:
        problem = error.strerror
    if problem:
        raise SettingsError(
            f"{scratch} cannot be written: {problem}; give [dsp] {setting} a folder that you may write."
        )


def refuse_before_first(day: date) -> None:
    """SettingsError if there can be no logs of the day; SourceError if their layout is described wrongly."""
    _ = platform().source  # before anything is planned
    first = platform().settings.first_date
    if day < first:
        raise SettingsError(f"{day} is before the first day of logs, {first} ([dsp] first_date); take a later day.")


def _code() -> tuple[str, str]:
    """Commit and branch of the code, from git; of an image, which has no .git, from DSP_REVISION and DSP_BRANCH.

    Empty where nobody knows.
    """
    words = ["git", "rev-parse", "HEAD", "--abbrev-ref", "HEAD"]
    try:
        done = subprocess.run(words, cwd=PACKAGE, capture_output=True, text=True, timeout=10, check=False)
        # Without a commit git fails, and says HEAD all the same.
        revision, _, branch = (done.stdout if done.returncode == 0 else "").strip().partition("\n")
    except (OSError, subprocess.TimeoutExpired):
        revision = branch = ""
    branch = os.environ.get("DSP_BRANCH", branch)
    return os.environ.get("DSP_REVISION", revision), branch if branch != "HEAD" else ""  # HEAD: on no branch


def _environment_of(branch: str) -> str:
    """An environment of the branch's own, `local` where there is none. No branch is production's by its name."""
    name = re.sub(r"[^a-z0-9_]+", "-", branch.lower()).strip("-_")
    if name == "production":
        raise SettingsError(
            "the git branch is called production, as the environment that bidders load from; use another branch, "
            "or say [dsp] environment = production."
        )
    return name or "local"
