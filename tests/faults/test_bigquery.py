"""What BigQueryWarehouse does when BigQuery, or the network before it, does not do what it should."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import Unauthorized
from google.auth.exceptions import RefreshError

from dsp_pipeline.errors import WarehouseError
from dsp_pipeline.settings import BigQuerySettings
from dsp_pipeline.warehouse.base import Warehouse
from dsp_pipeline.warehouse.bigquery import BigQueryWarehouse
from dsp_pipeline.warehouse.bigquery.errors import explained
from tests.contracts.implementations import bigquery_client, bigquery_warehouse, new_dataset
from tests.contracts.rows import CLICK, PARTITION, build, load, make_clicks, query_table, read
from tests.faults.proxy import Answer, Change, CutUpload, Delay, FaultProxy, LoseAnswer, Nothing, Silence

CONSOLE = "https://console.cloud.google.com/bigquery?project=acme-ads&j=bq:"


def refusal(status: int, reason: str, message: str = "told by BigQuery") -> Answer:
    """An answer as BigQuery writes it."""
    error = {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}
    return Answer(status, json.dumps({"error": error}).encode(), {"Content-Type": "application/json"})


BACKEND = refusal(503, "backendError", "Error encountered during execution. Retrying may solve the problem.")
UPLOAD, JOBS, QUERIES = "/upload/", r"^/bigquery/.*/jobs\?", "/queries"


@pytest.fixture
def settings(tmp_path: Path) -> BigQuerySettings:
    return new_dataset(tmp_path)


@pytest.fixture
def proxy(settings: BigQuerySettings) -> Iterator[FaultProxy]:
    with FaultProxy(settings.endpoint) as proxy:
        yield proxy


def through(proxy: FaultProxy, root: Path, patience: float = 20.0) -> BigQueryWarehouse:
    """The warehouse, with the proxy before BigQuery."""
    return bigquery_warehouse(root, patience=patience, endpoint=proxy.url)


def stands(settings: BigQuerySettings) -> tuple[int, int]:
    """How many rows the partition holds, and how many receipts there are: asked of BigQuery itself."""
    client, place = bigquery_client(settings), f"{settings.project}.{settings.dataset}"
    counts = []
    known = {table.table_id for table in client.list_tables(settings.dataset)}
    for name, sql in (("click_v1", "clicked_at IS NOT NULL"), ("receipts", "receipt IS NOT NULL")):
        counts.append(
            next(iter(client.query_and_wait(f"SELECT COUNT(*) FROM `{place}.{name}` WHERE {sql}")))[0]
            if name in known
            else 0
        )
    return counts[0], counts[1]


def jobs(settings: BigQuerySettings, kind: str = "load") -> list[Any]:
    """Its jobs of this kind, the oldest first."""
    found = [job for job in bigquery_client(settings).list_jobs() if f"-{settings.dataset}-click" in job.job_id]
    return [job for job in reversed(found) if job.job_type == kind]


@pytest.mark.parametrize("fault", [BACKEND, LoseAnswer(), CutUpload(after=300)], ids=["503", "lost answer", "cut"])
def test_an_upload_that_fails_twice_is_sent_again(
    settings: BigQuerySettings, proxy: FaultProxy, tmp_path: Path, fault: Any
) -> None:
    """Three requests, one job, all rows once."""
    proxy.rule(fault, method="POST", path=UPLOAD, times=2)
    receipt = load(through(proxy, tmp_path), make_clicks(3))
    assert proxy.count("POST", UPLOAD) == 3
    assert len(jobs(settings)) == 1
    assert stands(settings) == (3, 1)
    assert receipt.rows == 3


@pytest.mark.parametrize("fault", [BACKEND, LoseAnswer()], ids=["503", "lost answer"])
def test_a_receipt_that_fails_twice_is_written_once(
    settings: BigQuerySettings, proxy: FaultProxy, tmp_path: Path, fault: Any
) -> None:
    """The job that inserts it has an id, so a lost answer does not make two."""
    proxy.rule(fault, method="POST", path=JOBS, times=2)
    receipt = load(through(proxy, tmp_path), make_clicks(3))
    assert proxy.count("POST", JOBS) == 3
    assert stands(settings) == (3, 1)
    assert bigquery_warehouse(tmp_path).receipts(CLICK) == {PARTITION: receipt}


def test_questions_are_asked_again(proxy: FaultProxy, tmp_path: Path) -> None:
    """Busy twice, too many requests once: four requests and an answer."""
    proxy.rule(BACKEND, path=QUERIES, times=2)
    proxy.rule(refusal(403, "rateLimitExceeded"), path=QUERIES, times=1)
    assert through(proxy, tmp_path).receipts(CLICK) == {}
    assert proxy.count("POST", QUERIES) == 4


def failed(reason: str, message: str = "told by BigQuery") -> Callable[[bytes], bytes]:
    """The job's answer, as if it had failed."""

    def change(body: bytes) -> bytes:
        job = json.loads(body)
        problem = {"reason": reason, "message": message}
        job["status"] = {"state": "DONE", "errorResult": problem, "errors": [problem]}
        return json.dumps(job).encode()

    return change


def test_a_job_that_fails_for_a_moment_is_run_again(
    settings: BigQuerySettings, proxy: FaultProxy, tmp_path: Path
) -> None:
    """Under the next number; its receipt names it."""
    proxy.rule(Change(failed("backendError")), method="POST", path=UPLOAD, times=1)
    receipt = load(through(proxy, tmp_path), make_clicks(3))
    first, second = jobs(settings)
    assert (first.job_id[-2:], second.job_id[-2:]) == ("-0", "-1")
    assert receipt.details["job"] == second.job_id
    assert stands(settings) == (3, 1)


def test_a_job_that_fails_for_good_is_named_with_its_page(
    settings: BigQuerySettings, proxy: FaultProxy, tmp_path: Path
) -> None:
    """The sentence says what, why, what to do, and where the console shows the job. It is not run again."""
    proxy.rule(Change(failed("quotaExceeded", "Your table exceeded quota for imports.")), path=UPLOAD)
    with pytest.raises(WarehouseError) as caught:
        load(through(proxy, tmp_path), make_clicks(3))
    (job,) = jobs(settings)
    said = str(caught.value)
    assert said.startswith(f"click_v1/{PARTITION} cannot be loaded: Your table exceeded quota for imports (quotaExceed")
    assert "; wait until the quota allows more" in said
    assert CONSOLE in said
    assert job.job_id in said
    assert stands(settings)[1] == 0


REFUSALS = {
    "quota": (refusal(403, "quotaExceeded"), "quotaExceeded; wait until the quota allows more"),
    "access": (refusal(403, "accessDenied"), "accessDenied; give this identity the roles BigQuery Data Editor"),
    # Credentials of nobody, as a stand-in gets them, cannot be renewed.
    "credentials": (refusal(401, "authError", "Invalid Credentials"), "there are no Google credentials; give the task"),
    "location": (
        refusal(404, "notFound", "Not found: Dataset acme-ads:ads was not found in location US"),
        r"is not there in EU; make it, or correct \[bigquery\] project, dataset or location",
    ),
    "billing": (refusal(403, "billingNotEnabled"), "billingNotEnabled; switch billing on for the project"),
}


@pytest.mark.parametrize(
    ("kind", "path"), [*((kind, UPLOAD) for kind in REFUSALS), ("access", QUERIES), ("quota", JOBS)]
)
def test_what_bigquery_refuses_is_one_sentence_with_the_cure(
    settings: BigQuerySettings, proxy: FaultProxy, tmp_path: Path, kind: str, path: str
) -> None:
    """Asked once, not again and again; there is no receipt before its data, whatever it was that was refused."""
    answer, told = REFUSALS[kind]
    proxy.rule(answer, method="POST", path=path)
    with pytest.raises(WarehouseError, match=told) as caught:
        load(through(proxy, tmp_path), make_clicks(3))
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    assert proxy.count("POST", path) == 1
    assert stands(settings) == (3 if path == JOBS else 0, 0)


@pytest.mark.parametrize(
    "error", [RefreshError("invalid_grant: expired"), Unauthorized("Invalid Credentials")], ids=["expired", "refused"]
)
def test_credentials_that_google_does_not_take_are_to_be_renewed(settings: BigQuerySettings, error: Exception) -> None:
    """They were found, so it is not that there are none."""
    told = str(explained(error, "click cannot be read", settings))
    assert told.startswith("click cannot be read: Google does not take the credentials (")
    assert told.endswith("; renew them and run this again.")


def test_what_lasts_is_told_after_our_patience(proxy: FaultProxy, tmp_path: Path) -> None:
    """Whether it is asked for rows or given them, busy or rationed."""
    warehouse = through(proxy, tmp_path, patience=4)
    proxy.rule(BACKEND, path=QUERIES, times=20)
    with pytest.raises(WarehouseError, match=r"receipts cannot be read: Error encountered .*backendError"):
        warehouse.receipts(CLICK)
    for path, answer, told in (
        (UPLOAD, refusal(403, "rateLimitExceeded"), r"cannot be loaded: .*rateLimitExceeded; run this again later"),
        (UPLOAD, BACKEND, r"cannot be loaded: .*backendError"),
    ):
        with FaultProxy(new_dataset(tmp_path).endpoint) as another:
            another.rule(answer, method="POST", path=path)
            with pytest.raises(WarehouseError, match=told):
                load(through(another, tmp_path, patience=4), make_clicks(3))
            assert another.count("POST", path) > 1


def test_a_server_that_is_not_there_is_told_soon(tmp_path: Path) -> None:
    """A refused connection."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(WarehouseError, match=r"BigQuery does not answer \(.*refused.*\); run this again\.$"):
        bigquery_warehouse(tmp_path, patience=1, endpoint=url).receipts(CLICK)


def test_a_server_that_says_nothing_is_not_waited_for_for_ever(proxy: FaultProxy, tmp_path: Path) -> None:
    """One answer may take half our patience, or five seconds."""
    proxy.rule(Silence(), path=QUERIES)
    with pytest.raises(WarehouseError, match=r"BigQuery does not answer \(.*timed out.*\); run this again\.$"):
        through(proxy, tmp_path, patience=1).receipts(CLICK)


def test_an_answer_that_comes_late_is_waited_for(settings: BigQuerySettings, proxy: FaultProxy, tmp_path: Path) -> None:
    """Once each."""
    proxy.rule(Delay(0.5), method="POST", path=UPLOAD)
    assert load(through(proxy, tmp_path), make_clicks(3)).rows == 3
    assert proxy.count("POST", UPLOAD) == 1
    assert stands(settings) == (3, 1)


def test_a_build_that_fails_leaves_the_old_day(proxy: FaultProxy, tmp_path: Path) -> None:
    """Whatever of its three requests it is that fails; and then it is built as if nothing had been."""
    table = query_table(tmp_path, "copy", "SELECT c.click_id FROM click AS c")
    direct: Warehouse = bigquery_warehouse(tmp_path)
    load(direct, make_clicks(3))
    old = build(direct, table, slices={"click": [PARTITION]})
    load(direct, make_clicks(5), replace=True)
    warehouse = through(proxy, tmp_path)
    for done in range(3):  # the estimate, the query, its receipt
        proxy.rule(Nothing(), method="POST", path=JOBS, times=done)
        proxy.rule(refusal(403, "accessDenied"), method="POST", path=JOBS, times=1)
        with pytest.raises(WarehouseError, match="accessDenied; give this identity"):
            build(warehouse, table, slices={"click": [PARTITION]}, replace=True)
        assert direct.receipts(table) == {"2026-11-21": old}
    assert build(warehouse, table, slices={"click": [PARTITION]}, replace=True).rows == 5
    assert len(read(direct, table, ["2026-11-21"], ["click_id"])) == 5
