"""What mode cloud must be told, by real commands with the production luigi.cfg. Nothing here reaches a cloud."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

from tests.e2e.folder import PROJECT, Done, Folder

PRODUCTION = PROJECT / "docker" / "production.cfg"
VARIABLES = {
    "DSP_ENVIRONMENT": "production",
    "DSP_SCHEDULER_HOST": "luigid.dsp.internal",
    "DSP_LAKE": "s3://acme-dsp-lake/lake",
    "DSP_RAW": "s3://acme-ad-logs",
    "DSP_SOURCE": "simulator",
    "DSP_FIRST_DATE": "2026-11-01",
    "DSP_BIGQUERY_PROJECT": "acme-ads",
    "DSP_BIGQUERY_DATASET": "dsp",
    "DSP_BIGQUERY_LOCATION": "EU",
    "DSP_BIGQUERY_LABELS": "team=ads, cost-center=42",
    "DSP_BIGQUERY_MAX_GIB_BILLED": "100",
    "DSP_BIGQUERY_STAGING": "",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}
COMMAND = ("RawLog", "--event", "click", "--hour", "2026-11-20T05")


class Image(Folder):
    """A working folder as the production image has it; `variables` are those of the ECS task."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        (path / "luigi.cfg").write_text(PRODUCTION.read_text())
        self.variables = dict(VARIABLES)

    def environment(self) -> dict[str, str]:
        ours = {name: value for name, value in super().environment().items() if not name.startswith(("AWS", "GOOGLE"))}
        return {**ours, **self.variables}


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return Image(tmp_path / "work")


def told(done: Done) -> str:
    """The only error that a command tells, without a traceback."""
    assert "Traceback" not in done.text
    (error,) = done.errors
    return error


def test_where_luigid_is_must_be_said(image: Image) -> None:
    """Luigi reads that by itself, before any task; it is told in the same words."""
    del image.variables["DSP_SCHEDULER_HOST"]
    done = image.luigi(*COMMAND)
    expected = "error: [core] scheduler_host is not set: luigi.cfg takes it from the variable DSP_SCHEDULER_HOST."
    assert (done.code, told(done)) == (40, expected)


def test_a_worker_whose_luigid_stays_away_asks_again_and_then_says_so(image: Image) -> None:
    """Production's settings, but for the time between two tries; no task was begun, and the exit code is not 0."""
    settings = image.path / "luigi.cfg"
    written = settings.read_text()
    assert "rpc_retry_attempts = 12\nrpc_retry_wait = 5\n" in written  # a minute
    settings.write_text(written.replace("_wait = 5\n", "_wait = 0\n"))
    image.variables |= {"DSP_LAKE": "lake", "DSP_RAW": "raw"}
    done = image.luigi(*COMMAND, "--dsp-mode", "local", scheduler="http://127.0.0.1:9")
    assert done.code == 40
    expected = r"luigid does not answer \(Errors \(12 attempts\) .* 'http://127\.0\.0\.1:9'\); start it, "
    assert re.match(expected, told(done))


@pytest.mark.parametrize(
    "variable", ["DSP_ENVIRONMENT", "DSP_LAKE", "DSP_FIRST_DATE", "DSP_BIGQUERY_PROJECT", "DSP_BIGQUERY_LABELS"]
)
def test_a_value_that_is_missing_stops_the_run_at_its_first_line(image: Image, variable: str) -> None:
    """With the names of the setting and of the variable; nothing falls back to something local."""
    del image.variables[variable]
    done = image.luigi(*COMMAND)
    section = "[bigquery]" if "BIGQUERY" in variable else "[dsp]"
    setting = variable.removeprefix("DSP_").removeprefix("BIGQUERY_").lower()
    assert (done.code, told(done)) == (
        40,
        f"{section} {setting} is not set: luigi.cfg takes it from the variable {variable}.",
    )
    assert len(done.text.splitlines()) == 1
    assert not image.lake.exists()


@pytest.mark.parametrize(
    ("variable", "value", "parts"),
    [
        ("DSP_LAKE", "/data/lake", ("[dsp] lake is '/data/lake'", "s3://bucket")),
        ("DSP_RAW", "s3:///logs", ("[dsp] raw is 's3:///logs'",)),
        ("DSP_BIGQUERY_PROJECT", "acme`; DROP", ("[bigquery] project is",)),
        ("DSP_BIGQUERY_DATASET", "dsp.tables", ("[bigquery] dataset is 'dsp.tables'", "letters, digits and _")),
        ("DSP_BIGQUERY_LABELS", "Team=Ads", ("[bigquery] labels has 'Team=Ads'", "small letters")),
        ("DSP_BIGQUERY_STAGING", "s3://bucket", ("[bigquery] staging is 's3://bucket'", "gs://")),
        ("DSP_BIGQUERY_MAX_GIB_BILLED", "0", ("[bigquery] max_gib_billed is 0.0", "more than 0")),
        ("DSP_BIGQUERY_MAX_GIB_BILLED", "much", ("[bigquery] max_gib_billed cannot be read", "'much'")),
    ],
)
def test_a_value_that_is_wrong_is_named(image: Image, variable: str, value: str, parts: tuple[str, ...]) -> None:
    """Setting, value and what it may be, before anything runs."""
    image.variables[variable] = value
    done = image.luigi(*COMMAND)
    assert done.code == 40, done.text
    for part in parts:
        assert part in told(done)


def test_the_first_line_says_where_a_run_works_and_what_is_missing_next(image: Image) -> None:
    """Without credentials the sentence says so, and that is no missing log."""
    done = image.luigi(*COMMAND)
    assert done.code == 35
    first = done.text.splitlines()[0]
    assert (
        "mode=cloud environment=production lake=s3://acme-dsp-lake/lake raw=s3://acme-ad-logs project=acme-ads" in first
    )
    assert "no AWS credentials were found" in told(done)


def test_production_differs_from_a_laptop_only_where_it_must() -> None:
    """Sections other than [dsp] and [bigquery] are luigi.cfg's, but for the scheduler's place and its patience."""
    laptop, production = configparser.RawConfigParser(), configparser.RawConfigParser()
    laptop.read(PROJECT / "luigi.cfg")
    production.read(PRODUCTION)
    different = {
        f"{section}.{name}"
        for section in (set(laptop.sections()) | set(production.sections())) - {"dsp", "bigquery"}
        for name in {*dict(laptop[section]), *dict(production[section])}
        if laptop.get(section, name, fallback=None) != production.get(section, name, fallback=None)
    }
    assert different == {
        *("core.scheduler_host", "core.rpc_retry_attempts", "core.rpc_retry_wait"),
        *("worker.wait_interval", "worker.wait_jitter", "worker.ping_interval"),
    }


def test_federation_outside_of_ecs_is_told(image: Image) -> None:
    """The configuration alone is of no use: the keys that it stands on are told by ECS."""
    image.variables["DSP_GOOGLE_CREDENTIALS"] = "{}"
    done = image.luigi(*COMMAND)
    assert done.code == 40
    assert "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or AWS_REGION is not, which a container of ECS" in told(done)
