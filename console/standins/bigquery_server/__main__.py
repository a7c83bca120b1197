"""The program that is the BigQuery stand-in: local-bigquery 0.4.0, corrected.

Run as `python bigquery_server FOLDER [GCS]`, where GCS is the address of a stand-in for Cloud Storage.
Runs in the environment of `bigquery.lock`, with Python 3.13 or newer, and is imported by nothing of ours.

It listens on ports of the loopback interface that the system chooses, and then writes them to
`FOLDER/addresses.json`. Tables lie in `FOLDER/data`.
"""

import json
import os
import socket
import sys
from pathlib import Path

import catalog
import dialect
import extensions
import jobs
import loads
import lookups
import memory
import partitions
import snapshots
import uvicorn
from local_bigquery import app
from local_bigquery.engine import database
from local_bigquery.grpc import server as storage
from local_bigquery.settings import settings

HOST = "127.0.0.1"


def main(folder: Path, gcs: str | None) -> None:
    extensions.from_packages(folder / "extensions")
    settings.data_dir = folder / "data"
    settings.storage_emulator_host = gcs
    for correction in (memory, catalog, partitions, loads, jobs, snapshots, dialect, lookups):
        correction.install()
    database.connection()  # opens the tables now, not while the first client waits
    listening = socket.create_server((HOST, 0))
    _, storage_port = storage.start(HOST, 0)
    told = {
        "rest": f"http://{HOST}:{listening.getsockname()[1]}",
        "storage": f"{HOST}:{storage_port}",
    }
    unfinished = folder / "addresses.unfinished"
    unfinished.write_text(json.dumps(told), encoding="utf-8")
    unfinished.rename(folder / "addresses.json")
    uvicorn.Server(uvicorn.Config(app, timeout_graceful_shutdown=1)).run(sockets=[listening])
    os._exit(0)  # not waiting for jobs that still run; what they did not commit is not there


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
