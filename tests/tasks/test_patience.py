"""A worker stays for what it waits for."""

from __future__ import annotations

from pathlib import Path

from luigi.rpc import RemoteScheduler
from luigi.task import task_id_str

from tests.e2e.folder import ended, wait_until
from tests.e2e.scheduler import luigid
from tests.tasks.small import DAYS, arrive, small_folder


def test_a_worker_stays_until_another_has_made_the_last_task(tmp_path: Path) -> None:
    """It ends well then; luigi's own leaves at once, as one that has failed."""
    folder = small_folder(tmp_path / "work")
    arrive(folder, DAYS[0], hours=range(1))
    hour = f"{DAYS[0]}T00"
    command = ("S3LogIngest", "--event", "click", "--hour", hour)
    told = {"task_id": task_id_str("S3LogIngest", {"event": "click", "hour": hour}), "worker": "another"}
    with luigid(folder) as address:
        another = RemoteScheduler(address)
        another.add_task(**told, family="S3LogIngest", module="tasks", params={"event": "click", "hour": hour})
        assert another.get_work(worker="another", host="elsewhere")["task_id"] == told["task_id"]
        process = folder.start(*command, scheduler=address)
        wait_until(lambda: len(another.worker_list()) > 1 or process.poll() is not None, "the second worker")
        assert folder.luigi(*command).code == 0
        assert process.poll() is None
        another.add_task(**told, status="DONE")
        done = ended(process)
    assert (done.code, done.errors) == (0, []), done.text
