"""The files of terraform/ by themselves: form, plans without a cloud, wrong values, known weaknesses."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Any

import pytest

from tests.e2e.folder import PROJECT
from tests.infra import cron
from tests.infra.terraform import Terraform, five_values, tool

FOLDER = PROJECT / "terraform"
FILES = sorted(FOLDER.rglob("*.tf"))
MODULE_LINES = 150


@pytest.fixture(scope="module")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """Knows no cloud: what would ask one fails at once."""
    nowhere = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
    made = Terraform(tmp_path_factory.mktemp("terraform"), {**os.environ, **nowhere})
    (made.folder / "standin_override.tf").write_text(
        'provider "aws" {\n  max_retries                 = 1\n'
        "  skip_credentials_validation = true\n  skip_requesting_account_id  = true\n}\n"
    )
    return made


def test_files_are_formatted(terraform: Terraform) -> None:
    """As `terraform fmt` writes them; so are the examples, whose names hide them from it."""
    done = terraform.run("fmt", "-check", "-recursive", "-diff")
    assert (done.code, done.text) == (0, "")
    for example in sorted(FOLDER.glob("*.example")):
        assert terraform.run("fmt", "-", given=example.read_text()).text == example.read_text(), example.name


def test_the_configuration_is_valid(terraform: Terraform) -> None:
    """Every argument is one of the provider's, every reference leads somewhere."""
    done = terraform.run("validate")
    assert done.code == 0, done.text


def test_the_plan_is_right_without_a_cloud(terraform: Terraform) -> None:
    """`terraform test`, with the provider mocked: terraform/tests/."""
    done = terraform.run("test")
    assert done.code == 0, done.text
    assert re.search(r"Success! \d+ passed, 0 failed\.", done.text), done.text


def test_a_module_can_be_read_in_one_go() -> None:
    """No file of a module is longer than a few screens; the root only puts them together."""
    lengths = {path: len(path.read_text().splitlines()) for path in FILES if "modules" in path.parts}
    assert lengths
    assert {path for path, lines in lengths.items() if lines > MODULE_LINES} == set()


def test_variables_and_outputs_say_what_they_are() -> None:
    """Each has a description, and each variable a type."""
    for path in FILES:
        for kind, name, body in re.findall(r'^(variable|output) "(\w+)" \{\n(.*?)^\}', path.read_text(), re.M | re.S):
            assert re.search(r"^  description = ", body, re.M) or "  description" in body, f"{path}: {kind} {name}"
            assert kind == "output" or re.search(r"^  type\s+= ", body, re.M), f"{path}: {name}"


# Each is a set of values that are wrong, with what must be told of each: all are told at once.
WRONG: list[dict[str, tuple[Any, str]]] = [
    {
        "region": ("Frankfurt", 'region is "Frankfurt"; write it as eu-central-1.'),
        "alarm_email": ("nobody", 'alarm_email is "nobody"; give an address that people read'),
        "lake_bucket": ("s3://Acme", 'lake_bucket is "s3://Acme"; a bucket\'s name has 3 to 63 small letters'),
        "logs": (
            {"raw": "acme-logs", "source": "opnrtb", "first_date": "2026-02-30"},
            'logs.source is "opnrtb"; there is no dsp_pipeline/events/sources/opnrtb.yaml.',
        ),
        "google_project": (
            {"id": "acme-ads", "number": "acme-ads"},
            "take id and number from `gcloud projects describe ID`.",
        ),
        "revision": ("", 'revision is "", which names no image; give the git revision that was built and pushed'),
        "bigquery": ({"max_gib_billed": 0}, "bigquery.max_gib_billed is 0; it is more than 0."),
    },
    {
        "lake_bucket": ("acme.lake", 'lake_bucket is "acme.lake"'),
        "logs": (
            {"raw": "s3://acme-logs/", "source": "openrtb", "first_date": "2026-02-30"},
            'logs.first_date is "2026-02-30"; write a day as 2026-11-01.',
        ),
        "revision": ("latest", 'revision is "latest", which names no image'),
    },
]


@pytest.mark.parametrize("wrong", WRONG, ids=["each", "almost"])
def test_wrong_values_are_refused_in_a_sentence(terraform: Terraform, wrong: dict[str, tuple[Any, str]]) -> None:
    """With the value and the cure, before anything is made."""
    terraform.variables(**five_values(**{name: value for name, (value, _) in wrong.items()}))
    done = terraform.run("plan", "-refresh=false")
    assert done.code == 1
    for name, (_, told) in wrong.items():
        assert told in _unwrapped(done.text), name


def test_wrong_schedules_are_refused_by_name(terraform: Terraform) -> None:
    """Cron, size, role and command; each message says which schedule, and what would be right."""
    right = {"cron": "30 3 * * ? *", "command": ["DailyPipeline", "--date", "yesterday"]}
    schedules = {
        "right": right,
        "unix": {**right, "cron": "30 3 * * *"},
        "sixty": {**right, "cron": "60 3 * * ? *"},
        "huge": {**right, "size": "huge"},
        "root": {**right, "role": "admin"},
    }
    terraform.variables(**five_values(schedules=schedules))
    text = _unwrapped(terraform.run("plan", "-refresh=false").text)
    assert 'Wrong cron: sixty has "60 3 * * ? *"; unix has "30 3 * * *". Write minute hour day-of-month' in text
    assert 'Unknown size: huge has "huge". Sizes are small, medium and large.' in text
    assert 'Unknown role: root has "admin". Roles are ingest, train, export and branch.' in text
    terraform.variables(**five_values(schedules={"a_b": {**right, "command": ["luigi", "--module", "tasks"]}}))
    text = _unwrapped(terraform.run("plan", "-refresh=false").text)
    assert "A schedule's name has small letters, digits and hyphens, and begins with a letter: a_b." in text
    assert "A schedule's command begins with a task" in text


def test_terraform_and_the_tests_know_the_same_cron(terraform: Terraform) -> None:
    """The pattern that refuses a schedule is the one whose times are checked in test_cron.py."""
    terraform.variables(**five_values())
    done = terraform.run("console", given="local.cron\n")
    assert done.text.strip().removeprefix('"').removesuffix('"').replace("\\\\", "\\") == cron.PATTERN


def test_no_known_weakness_is_left_unexplained() -> None:
    """checkov finds nothing that is not skipped in its place, and each skip says why in a sentence."""
    words = ["--directory", str(FOLDER), "--framework", "terraform", "--compact", "--quiet", "--skip-download"]
    done = subprocess.run(
        [tool("checkov"), *words],
        cwd=FOLDER,
        env={**os.environ, "LOG_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Passed checks: [1-9]\d+, Failed checks: 0, Skipped checks: \d+", done.stdout), done.stdout
    skips = re.findall(r"checkov:skip=(\S*?)(?::(.*))?$", "\n".join(path.read_text() for path in FILES), re.M)
    assert skips
    for check, why in skips:
        assert re.fullmatch(r".{8,}\.", why), f"{check} is skipped without a reason"


def _unwrapped(text: str) -> str:
    """Terraform breaks its messages into lines of the terminal's width."""
    return re.sub(r"\s+", " ", text.replace("│", " "))
