"""A container's role of AWS becomes a service account of Google: against a server that speaks the part of both."""

from __future__ import annotations

import json
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dsp_pipeline.errors import SettingsError
from dsp_pipeline.settings import BigQuerySettings, Federation
from dsp_pipeline.warehouse.bigquery.clients import Clients
from dsp_pipeline.warehouse.bigquery.federation import federated

AUDIENCE = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/dsp-aws/providers/aws"
ACCOUNT = "dsp-pipeline@acme-ads.iam.gserviceaccount.com"


class Clouds(BaseHTTPRequestHandler):
    """GET /keys is ECS, POST /token Google's exchange, any other POST lends the service account.

    `seen` is what Google got, `lasts` for how many seconds what it gave for that is good.
    """

    keys = "FIRST"
    lasts = 3600
    status = 200
    seen: list[dict[str, str]]

    def do_GET(self) -> None:
        self._answer({"AccessKeyId": self.keys, "SecretAccessKey": "secret", "Token": f"session-{self.keys}"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path == "/token":
            self.seen.append(dict(urllib.parse.parse_qsl(body)))
            self._answer({"access_token": "exchanged", "token_type": "Bearer", "expires_in": self.lasts})
        else:
            assert self.headers["Authorization"] == "Bearer exchanged"
            self._answer({"accessToken": f"lent-{len(self.seen)}", "expireTime": "2099-01-01T00:00:00Z"})

    def _answer(self, value: Any) -> None:
        text = json.dumps(value).encode()
        self.send_response(self.status if self.path == "/keys" else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def clouds() -> Iterator[tuple[type[Clouds], str]]:
    handler = type("Handler", (Clouds,), {"seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield handler, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def federation(url: str, **changes: Any) -> Federation:
    """As terraform/modules/access writes it, but for the addresses."""
    said = {
        "type": "external_account",
        "audience": AUDIENCE,
        "subject_token_type": "urn:ietf:params:aws:token-type:aws4_request",
        "token_url": f"{url}/token",
        "service_account_impersonation_url": f"{url}/serviceAccounts/{ACCOUNT}:generateAccessToken",
        "credential_source": {
            "environment_id": "aws1",
            "regional_cred_verification_url": "https://sts.{region}.amazonaws.com?Action=GetCallerIdentity",
        },
        **changes,
    }
    return Federation(json.dumps(said), f"{url}/keys", "eu-central-1")


def refreshed(credentials: Any) -> str:
    from google.auth.transport.requests import Request

    credentials.refresh(Request())
    return str(credentials.token)


def signed(seen: dict[str, str]) -> dict[str, str]:
    """The headers of the request to AWS that Google was shown."""
    token = json.loads(urllib.parse.unquote(seen["subject_token"]))
    assert token["url"].startswith("https://sts.eu-central-1.amazonaws.com?Action=GetCallerIdentity")
    return {one["key"].lower(): one["value"] for one in token["headers"]}


def test_google_is_shown_a_request_that_only_the_role_can_sign(clouds: tuple[type[Clouds], str]) -> None:
    """For our pool and no other; what comes back is the service account's token."""
    handler, url = clouds
    assert refreshed(federated(federation(url))) == "lent-1"
    (seen,) = handler.seen
    assert seen["audience"] == AUDIENCE
    headers = signed(seen)
    assert headers["x-goog-cloud-target-resource"] == AUDIENCE
    assert headers["x-amz-security-token"] == "session-FIRST"
    assert "Credential=FIRST/" in headers["authorization"]
    assert "eu-central-1/sts/aws4_request" in headers["authorization"]


def test_keys_are_asked_for_anew_with_each_token(clouds: tuple[type[Clouds], str]) -> None:
    """ECS changes them every few hours; a run may be longer."""
    handler, url = clouds
    handler.lasts = 1
    credentials = federated(federation(url))
    refreshed(credentials)
    handler.keys = "SECOND"
    assert refreshed(credentials) == "lent-2"
    assert "Credential=SECOND/" in signed(handler.seen[1])["authorization"]


def test_a_container_without_a_role_is_told(clouds: tuple[type[Clouds], str]) -> None:
    """And what to look at."""
    from google.auth.exceptions import RefreshError

    handler, url = clouds
    handler.status = 404
    with pytest.raises(RefreshError, match=r"does not tell the keys of the task's role \(.*/keys: 404\); has the task"):
        refreshed(federated(federation(url)))


@pytest.mark.parametrize("text", ["", "google.json", "[]", "{}", '{"type": "service_account", "private_key": "x"}'])
def test_what_is_no_configuration_is_refused(text: str) -> None:
    """In a sentence that says how to get one."""
    with pytest.raises(SettingsError, match="DSP_GOOGLE_CREDENTIALS is no credential configuration for AWS"):
        federated(Federation(text, "http://127.0.0.1:9", "eu-central-1"))


def test_all_of_googles_clients_use_it(clouds: tuple[type[Clouds], str]) -> None:
    """Also the one that loads through Cloud Storage."""
    _, url = clouds
    given = BigQuerySettings("acme-ads", "dsp", "EU", 1 << 30, federation=federation(url))
    clients = Clients(given)
    assert clients.bigquery._credentials is clients.storage._credentials
    assert refreshed(clients.bigquery._credentials) == "lent-1"
    clients.bigquery.close()
