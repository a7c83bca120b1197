"""What BigQuery says, in one sentence with the cure."""

from __future__ import annotations

from dsp_pipeline.errors import WarehouseError, first_line
from dsp_pipeline.settings import BigQuerySettings

# Reasons with which BigQuery fails a job that would succeed if it were run again.
TRANSIENT = frozenset(
    {
        "backendError",
        "internalError",
        "jobBackendError",
        "jobInternalError",
        "rateLimitExceeded",
        "jobRateLimitExceeded",
    }
)
_CURES = {
    "accessDenied": "give this identity the roles BigQuery Data Editor on the dataset and, on the project, BigQuery "
    "Job User and BigQuery Read Session User",
    "billingNotEnabled": "switch billing on for the project",
    "bytesBilledLimitExceeded": "narrow the query's `reads:` or raise [bigquery] max_gib_billed",
    "notFound": "a table that was removed by hand can be restored for some days; else take its rows out of the table "
    "receipts and run this again",
    "quotaExceeded": "wait until the quota allows more (a table takes 1,500 load jobs a day), or ask Google for more",
    "rateLimitExceeded": "run this again later",
    "stopped": "run this again",
}


class JobError(WarehouseError):
    """A job ended with an error. `reason` is BigQuery's word for it, `told` its own first line."""

    def __init__(self, what: str, reason: str, told: str, link: str) -> None:
        cure = _CURES.get(reason)
        super().__init__(f"{what}: {told.rstrip('.')} ({reason}{'; ' + cure if cure else ''}; {link}).")
        self.reason, self.told = reason, told


def link(settings: BigQuerySettings, job: str, location: str | None) -> str:
    """Where the console shows the job."""
    shown = f"bq:{location or settings.location}:{job}"
    return f"https://console.cloud.google.com/bigquery?project={settings.project}&j={shown}&page=queryresults"


def explained(error: Exception, what: str, settings: BigQuerySettings) -> WarehouseError:
    """The error of a call, `what` being what was attempted."""
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth

    place = f"{settings.project}.{settings.dataset}"
    cause = getattr(error, "cause", None)  # of a RetryError
    error = cause if isinstance(cause, Exception) else error
    told = _told(error)
    if isinstance(error, auth.DefaultCredentialsError):
        return WarehouseError(
            f"{what}: there are no Google credentials; give the task a workload identity, or on a laptop run "
            "`gcloud auth application-default login`."
        )
    if isinstance(error, (auth.RefreshError, api.Unauthorized)):
        return WarehouseError(f"{what}: Google does not take the credentials ({told}); renew them and run this again.")
    if isinstance(error, api.NotFound) and "not found: dataset" in told.lower():
        return WarehouseError(
            f"{what}: the dataset {place} is not there in {settings.location}; make it, or correct "
            "[bigquery] project, dataset or location."
        )
    if isinstance(error, api.GoogleAPICallError):
        reason = reason_of(error)
        cure = _CURES.get(reason)
        return WarehouseError(f"{what}: {told} ({reason}{'; ' + cure if cure else ''}).")
    return WarehouseError(f"{what}: BigQuery does not answer ({told}); run this again.")


def reason_of(error: Exception) -> str:
    """BigQuery's word for what is wrong."""
    from google.api_core import exceptions as api

    for one in getattr(error, "errors", None) or ():
        if isinstance(one, dict) and one.get("reason"):
            return str(one["reason"])
    if isinstance(error, api.Forbidden):
        return "accessDenied"
    if isinstance(error, api.NotFound):
        return "notFound"
    return str(getattr(error, "code", None) or type(error).__name__)


def _told(error: Exception) -> str:
    """BigQuery's own sentence, without the address that was called."""
    for one in getattr(error, "errors", None) or ():
        if isinstance(one, dict) and one.get("message"):
            return str(one["message"]).splitlines()[0].rstrip(".")
    message = getattr(error, "message", None)  # of a call: without the HTTP status before it
    return (str(message).splitlines()[0] if message else first_line(error)).rstrip(".")
