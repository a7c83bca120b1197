"""Google's clients, by its own chain of credentials, or those of a stand-in that asks for none."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dsp_pipeline.settings import BigQuerySettings

if TYPE_CHECKING:
    from google.api_core.retry import Retry
    from google.cloud import bigquery
    from google.cloud.bigquery_storage import BigQueryReadClient
    from requests.adapters import HTTPAdapter

_AGENT = "dsp-pipeline"
_STORAGE = "bigquerystorage.googleapis.com:443"
# Batches may be larger than gRPC's own limit of 4 MiB. A connection that something between has dropped without a word
# is found out by keepalive, and the reader goes on from where it was; else it would wait for a day.
_CHANNEL = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)


class Clients:
    """Made when they are first used, and anew in a process forked since: connections must not be shared.

    `patience` is for how many seconds a call that may be repeated is repeated when BigQuery does not answer.
    """

    def __init__(self, settings: BigQuerySettings, patience: float = 120.0) -> None:
        self.settings, self.patience = settings, patience
        self._made: _Made | None = None

    @property
    def bigquery(self) -> bigquery.Client:
        return self._own.bigquery

    @property
    def reading(self) -> BigQueryReadClient | None:
        """The Storage Read API; None with a stand-in that has none."""
        return self._own.reading

    @property
    def storage(self) -> Any:
        return self._own.storage

    @property
    def retry(self) -> Retry:
        """For calls that change nothing, or that BigQuery itself does once: those of a job with an id."""
        from google.cloud.bigquery.retry import DEFAULT_RETRY

        return DEFAULT_RETRY.with_timeout(self.patience).with_delay(
            initial=min(0.5, self.patience / 10), maximum=15.0, multiplier=2.0
        )

    @property
    def _own(self) -> _Made:
        if self._made is None or self._made.process != os.getpid():
            self._made = _Made(self.settings, silence=min(60.0, max(5.0, self.patience / 2)))
        return self._made


class _Made:
    """`silence` is for how many seconds a server may say nothing before the connection counts as broken."""

    def __init__(self, settings: BigQuerySettings, silence: float) -> None:
        self.process = os.getpid()
        self._settings, self._silence = settings, silence
        self._known: dict[str, Any] = {"project": settings.project}
        if settings.endpoint:
            from google.auth.credentials import AnonymousCredentials

            self._known["credentials"] = AnonymousCredentials()
        elif settings.federation is not None:
            from dsp_pipeline.warehouse.bigquery.federation import federated

            self._known["credentials"] = federated(settings.federation)

    @cached_property
    def bigquery(self) -> bigquery.Client:
        from google.api_core.client_info import ClientInfo
        from google.cloud import bigquery

        options = {"api_endpoint": self._settings.endpoint} if self._settings.endpoint else None
        client = bigquery.Client(
            **self._known,
            location=self._settings.location,
            client_options=options,
            client_info=ClientInfo(user_agent=_AGENT),
        )
        for scheme in ("http://", "https://"):
            client._http.mount(scheme, _bounded(self._silence))  # else it would wait for ever
        return client

    @cached_property
    def reading(self) -> BigQueryReadClient | None:
        from google.cloud.bigquery_storage import BigQueryReadClient
        from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

        if not self._settings.endpoint:
            credentials = self._known.get("credentials")
            channel = BigQueryReadGrpcTransport.create_channel(_STORAGE, credentials=credentials, options=_CHANNEL)
        elif self._settings.storage_endpoint:
            import grpc

            channel = grpc.insecure_channel(self._settings.storage_endpoint, options=_CHANNEL)
        else:
            return None
        return BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))

    @cached_property
    def storage(self) -> Any:
        from google.cloud import storage

        options = {"api_endpoint": self._settings.staging_endpoint} if self._settings.staging_endpoint else None
        return storage.Client(**self._known, client_options=options)


def _bounded(silence: float) -> HTTPAdapter:
    """What carries requests, with a time limit for those that have none."""
    from requests.adapters import HTTPAdapter

    class Bounded(HTTPAdapter):
        def send(self, request: Any, stream: bool = False, timeout: Any = None, *others: Any, **named: Any) -> Any:
            return super().send(request, stream, timeout or silence, *others, **named)

    return Bounded(pool_maxsize=10)
