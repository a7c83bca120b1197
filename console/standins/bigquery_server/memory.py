"""What the server knows of its jobs, tables and datasets, kept in memory.

local-bigquery asks its database for each of these many times in one call. Jobs live in memory alone: one is of no use
to a server that did not run it. Everything else is still written to the database, and read from it once.
"""

import threading

from local_bigquery.catalog import metadata
from local_bigquery.jobs import store

_jobs: dict[tuple[str, str], store.Job] = {}
_known: dict[tuple, list] = {}
_changing = threading.RLock()
_list, _save, _delete = metadata.list_, metadata.save, metadata.delete


def install() -> None:
    store.save, store.load, store.list_, store.delete = save_job, load_job, list_jobs, delete_job
    metadata.list_, metadata.save, metadata.delete = list_, save, delete


def save_job(job):
    with _changing:
        _jobs[job.jobReference.projectId, job.jobReference.jobId] = job
    return job


def load_job(project_id, job_id):
    return _jobs.get((project_id, job_id))


def list_jobs(project_id, states=None, parent_job_id=None, min_creation_time=None, max_creation_time=None):
    with _changing:
        found = [job for (project, _), job in _jobs.items() if project == project_id]
    fit = [
        job
        for job in found
        if job.statistics.parentJobId == parent_job_id
        and (states is None or job.status.state in states)
        and (min_creation_time is None or int(job.statistics.creationTime) >= min_creation_time)
        and (max_creation_time is None or int(job.statistics.creationTime) <= max_creation_time)
    ]
    return sorted(fit, key=lambda job: (-int(job.statistics.creationTime), job.jobReference.jobId))


def delete_job(project_id, job_id):
    with _changing:
        for key, job in list(_jobs.items()):
            if key[0] == project_id and job_id in (key[1], job.statistics.parentJobId):
                del _jobs[key]


def list_(model, *keys):
    with _changing:
        if (model, *keys) not in _known:
            _known[model, *keys] = _list(model, *keys)
        return list(_known[model, *keys])


def save(resource, *keys):
    with _changing:
        _forget(type(resource))
        return _save(resource, *keys)


def delete(model, *keys):
    with _changing:
        _forget(model)
        _delete(model, *keys)


def _forget(model) -> None:
    for key in [key for key in _known if key[0] is model]:
        del _known[key]
