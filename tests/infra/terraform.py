"""Terraform on a copy of terraform/, against a moto that was started for it: an AWS of this machine."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
import pytest

from console.standins.processes import HOST, Server, accepts, free_port
from tests.e2e.folder import PROJECT, Done, until_ended

TOOLS = PROJECT / ".cache" / "infra" / "tools" / "bin"
REGION = "us-east-1"
_PATIENCE = 420.0  # seconds for one command of Terraform; an apply takes 90, more on a machine that is busy
_PLUGINS = PROJECT / ".cache" / "terraform" / "plugins"
# What a team adds to the folder: its state, its values, its Google.
_OWN = (".terraform*", "*.tfstate*", "*.tfvars", "*.tfvars.json", "backend.tf", "google.tf")
# Where machines without a way out keep Terraform's providers, besides what its own settings say.
_MIRRORS = (Path("/opt"), Path("/usr/local/share"), Path.home())

# Planted in Secrets Manager; must be nowhere else.
SECRETS = {
    "dsp/oidc": "planted-secret-of-the-client",
    "dsp/datadog": "planted-secret-of-datadog",
    "dsp/slack": "https://hooks.slack.example/planted-secret",
}


def tool(name: str) -> Path:
    """A checker of the environment that `make test-infra` sets up. Skips the test where it was not."""
    found = TOOLS / name
    if not found.exists():
        pytest.skip(f"skipped: {name} is not there; `make test-infra` installs it")
    return found


class Cloud:
    """A moto that listens on loopback, and how to talk to it."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"http://{HOST}:{port}"
        self._server = Server(
            [tool("moto_server"), "-H", HOST, "-p", str(port)],
            folder / "moto.log",
            {**os.environ, "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"},
        )
        self._server.wait_until(lambda: accepts(port), 60.0)

    def client(self, service: str, **keys: str) -> Any:
        known = {"aws_access_key_id": "standin", "aws_secret_access_key": "standin", **keys}
        return boto3.client(service, region_name=REGION, endpoint_url=self.url, **known)

    def environment(self) -> dict[str, str]:
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("AWS", "TF_VAR", "DSP"))}
        return {
            **keep,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "standin",
            "AWS_SECRET_ACCESS_KEY": "standin",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def stop(self) -> None:
        self._server.stop()


class Terraform:
    """A copy of terraform/ in a folder, ready to be applied. Skips the test where there is no Terraform or provider."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        if shutil.which("terraform") is None:
            pytest.skip("skipped: terraform is not on the PATH")
        self.folder = folder / "terraform"
        shutil.copytree(PROJECT / "terraform", self.folder, ignore=shutil.ignore_patterns(*_OWN))
        (folder / "dsp_pipeline").symlink_to(PROJECT / "dsp_pipeline")
        self._environment = {
            **{name: value for name, value in environment.items() if not name.startswith("TF_")},
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
            "CHECKPOINT_DISABLE": "1",
            "TF_PLUGIN_CACHE_DIR": str(_PLUGINS),
            "TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE": "1",
        }
        _PLUGINS.mkdir(parents=True, exist_ok=True)
        done = self.run("init", "-backend=false")
        if done.code != 0 and (mirror := _mirror()) is not None:
            settings = folder / "terraform.rc"
            settings.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n')
            self._environment["TF_CLI_CONFIG_FILE"] = str(settings)
            del self._environment["TF_PLUGIN_CACHE_DIR"]
            done = self.run("init", "-backend=false")
        if done.code != 0:
            pytest.skip(f"skipped: terraform init cannot get the AWS provider here: {done.text.strip()[-300:]}")

    def run(self, command: str, *words: str, given: str = "") -> Done:
        words = ("terraform", *command.split(), *(["-no-color"] if command != "console" else []), *words)
        return until_ended(words, seconds=_PATIENCE, given=given, cwd=self.folder, env=self._environment)

    def variables(self, **values: Any) -> None:
        (self.folder / "terraform.tfvars.json").write_text(json.dumps(values, indent=1))


def _mirror() -> Path | None:
    """A folder in which Terraform's AWS provider lies unpacked."""
    for root in _MIRRORS:
        for depth in ("*", ".*/*", ".*/*/*"):
            for found in sorted(root.glob(f"{depth}/registry.terraform.io/hashicorp/aws")):
                return found.parents[2]
    return None


def five_values(**others: Any) -> dict[str, Any]:
    """What a user fills in, and the revision of a release."""
    return {
        "region": REGION,
        "alarm_email": "ads-oncall@acme.example",
        "lake_bucket": "acme-dsp-lake",
        "logs": {"raw": "s3://acme-ad-logs/dsp", "source": "openrtb", "first_date": "2026-11-01"},
        "google_project": {"id": "acme-ads", "number": "123456789012"},
        "revision": "0123456789abcdef0123456789abcdef01234567",
        **others,
    }


@dataclass(frozen=True)
class Applied:
    """A platform that was applied, applied again and planned; what each printed."""

    cloud: Cloud
    terraform: Terraform
    first: Done
    second: Done
    plan: Done

    @cached_property
    def state(self) -> str:
        """All that Terraform remembers, as JSON."""
        return self.terraform.run("show", "-json").text

    def outputs(self) -> dict[str, Any]:
        told = json.loads(self.terraform.run("output", "-json").text)
        return {name: one["value"] for name, one in told.items()}

    def resources(self, kind: str) -> dict[str, dict[str, Any]]:
        """What the state knows of all resources of a kind, by address."""
        state = json.loads(self.state)["values"]["root_module"]
        found: dict[str, dict[str, Any]] = {}
        for module in [state, *state["child_modules"]]:
            found |= {one["address"]: one["values"] for one in module.get("resources", []) if one["type"] == kind}
        return found


@contextmanager
def applied() -> Iterator[Applied]:
    """Everything that can be switched on is on, but what only a real AWS can do."""
    with tempfile.TemporaryDirectory(prefix="terraform-") as name:
        folder = Path(name)
        cloud = Cloud(folder)
        try:
            terraform = Terraform(folder, cloud.environment())
            # A call that moto does not know would otherwise be tried for minutes, and one that was cut off not at all.
            (terraform.folder / "standin_override.tf").write_text('provider "aws" {\n  max_retries = 4\n}\n')
            secrets, certificates = cloud.client("secretsmanager"), cloud.client("acm")
            for secret, value in SECRETS.items():
                secrets.create_secret(Name=secret, SecretString=value)
            certificate = certificates.request_certificate(DomainName="luigid.acme.example")["CertificateArn"]
            cloud.client("s3").create_bucket(Bucket="acme-ad-logs")
            terraform.variables(
                **five_values(
                    tls_only=False,
                    digests={"pipeline": f"sha256:{'1' * 64}", "luigid": f"sha256:{'2' * 64}"},
                    secrets={"DSP_NOTIFY_SLACK_WEBHOOK_URL": "dsp/slack"},
                    datadog={"site": "datadoghq.eu", "api_key_secret": "dsp/datadog"},
                    tags={"cost-center": "42"},
                    ci={
                        "main_subject": "repo:acme/dsp-pipeline:environment:production",
                        "branch_subject": "repo:acme/dsp-pipeline:pull_request",
                        "state_bucket": "acme-terraform-state",
                    },
                    sign_in={
                        "certificate_arn": certificate,
                        "issuer": "https://login.acme.example",
                        "authorization_endpoint": "https://login.acme.example/authorize",
                        "token_endpoint": "https://login.acme.example/token",
                        "user_info_endpoint": "https://login.acme.example/userinfo",
                        "client_id": "dsp",
                        "client_secret_name": "dsp/oidc",
                    },
                )
            )
            apply = ("-auto-approve", "-parallelism=20")
            first, second = terraform.run("apply", *apply), terraform.run("apply", *apply)
            plan = terraform.run("plan", "-parallelism=20", "-detailed-exitcode")
            yield Applied(cloud, terraform, first, second, plan)
        finally:
            cloud.stop()
