"""A year of hours of three events that are complete already: 26,280 receipts, asked for one by one.

The pipeline's targets answer from one listing of each shelf. Beside them stand the listing alone, in a set, and a look
at each output by itself, which is what luigi does when it is told nothing else. In S3 the time is the stand-in's, so
what counts is the client's CPU and its requests. There only some outputs are looked at by themselves, and the cost is
told of all.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from bench.measure import by_turns, cost, in_own_process, median
from bench.part import Figure, Measured, Sizes, alone, compared
from console.standins.s3 import S3Server
from dsp_pipeline.meter import Meter
from dsp_pipeline.storage.base import ObjectStore
from dsp_pipeline.storage.local import LocalFolder
from dsp_pipeline.storage.receipts import ReceiptBook
from dsp_pipeline.storage.s3 import S3Bucket, s3_client
from targets.receipt import ReceiptIndex, ReceiptTarget

DATA = Path(".cache/bench/nothing_to_do")
BUCKET, SHELVES = "lake", ("ingest/bid-1/", "ingest/win-1/", "ingest/impression-1/")
FIRST, EVERY = datetime(2026, 1, 1), 30
KEYS_A_REQUEST = 1_000
CONTENDERS = ("pipeline", "listing alone", "a look at each")


def addresses(shelf: str, hours: int) -> Iterator[str]:
    return (f"{shelf}{FIRST + timedelta(hours=hour):%Y-%m-%dT%H}" for hour in range(hours))


def _keys(hours: int) -> list[str]:
    return [f"receipts/{address}.json" for shelf in SHELVES for address in addresses(shelf, hours)]


def measure(sizes: Sizes) -> Measured:
    local = year_of(sizes.hours)
    runs = {"local": by_turns({name: partial(run, name, str(local), sizes.hours) for name in CONTENDERS}, sizes.times)}
    with S3Server() as server:
        _fill(server.url, sizes.s3_hours)
        runs["S3"] = by_turns(
            {name: partial(run, name, server.url, sizes.s3_hours) for name in CONTENDERS}, sizes.times
        )
    figures = []
    for place, found in runs.items():
        figures.append(compared(found, "pipeline", "listing alone", target=1.1, about=f"{place}: "))
        figures.append(compared(found, "pipeline", "a look at each", about=f"{place}: "))
        figures.append(alone(found, "listing alone", f"{place}: "))
        figures.append(compared(found, "a look at each", "listing alone", about=f"{place}: "))
        of_a_year = sizes.hours / (sizes.s3_hours if place == "S3" else sizes.hours)
        spent = median(found["pipeline"], "cpu_seconds") * of_a_year
        figures.append(Figure(f"{place}: pipeline", "one CPU second, a year", spent, 1.0))
    keys = len(SHELVES) * math.ceil(sizes.s3_hours / KEYS_A_REQUEST)
    asked = median(runs["S3"]["pipeline"], "requests")
    figures.append(Figure("S3: pipeline's requests", f"{keys}, the fewest for these keys", asked / keys, 1.0))
    return Measured(figures, {"hours": sizes.hours, "s3_hours": sizes.s3_hours, "shelves": len(SHELVES), **runs})


def year_of(hours: int) -> Path:
    """A folder in which so many hours of each event are complete; made if it is not there."""
    folder = DATA / str(hours)
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        for key in _keys(hours):
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / key).write_bytes(b"{}")
        (folder / "ready").touch()
    return folder


def _fill(url: str, hours: int) -> None:
    client = s3_client(**S3Server.settings_of(url))
    client.create_bucket(Bucket=BUCKET)
    with ThreadPoolExecutor(4) as threads:
        for _ in threads.map(lambda key: client.put_object(Bucket=BUCKET, Key=key, Body=b"{}"), _keys(hours)):
            pass


def run(name: str, place: str, hours: int) -> dict[str, Any]:
    """What a contender spent; `place` is a folder, or the URL of an S3."""
    return in_own_process("bench.nothing_to_do", ["--one", name, "--place", place, "--hours", str(hours)])


def pipeline(store: ObjectStore, hours: int) -> int:
    """Targets as tasks make them, with an index a shelf."""
    book, complete = ReceiptBook(store), 0
    for shelf in SHELVES:
        index = ReceiptIndex(lambda shelf=shelf: dict.fromkeys(book.addresses(shelf)))  # type: ignore[misc]
        complete += sum(ReceiptTarget(index, address).exists() for address in addresses(shelf, hours))
    return complete


def _listed(place: str, client: Any) -> set[str]:
    """All keys, by nothing but the listing."""
    if client is None:
        return {
            f"receipts/ingest/{shelf.name}/{one.name}"
            for shelf in os.scandir(f"{place}/receipts/ingest")
            for one in os.scandir(shelf.path)
        }
    pages = [
        client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"receipts/{shelf}") for shelf in SHELVES
    ]
    return {one["Key"] for shelf in pages for page in shelf for one in page.get("Contents", ())}


def main(arguments: Sequence[str] | None = None) -> None:
    """One contender, in the process that measures it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", choices=CONTENDERS, required=True)
    parser.add_argument("--place", required=True, help="a folder, or the URL of an S3")
    parser.add_argument("--hours", type=int, required=True)
    options = parser.parse_args(arguments)
    place, hours = options.place, options.hours
    requests: list[str] = []
    client = None
    if place.startswith("http"):
        client = s3_client(**S3Server.settings_of(place))
        client.list_objects_v2(Bucket=BUCKET, MaxKeys=1)  # what a client does once is not what is measured
        client.meta.events.register("before-send.s3.*", lambda event_name, **_: requests.append(event_name))
    wanted, share = _keys(hours), 1
    store: ObjectStore = LocalFolder(Path(place)) if client is None else S3Bucket(BUCKET, client=client)
    meter = Meter()
    if options.one == "pipeline":
        complete = pipeline(store, hours)
    elif options.one == "listing alone":
        there = _listed(place, client)
        complete = sum(key in there for key in wanted)
    elif client is None:
        complete = sum(os.path.exists(f"{place}/{key}") for key in wanted)
    else:
        share = EVERY
        complete = EVERY * sum(bool(client.head_object(Bucket=BUCKET, Key=key)) for key in wanted[::EVERY])
    found = cost(meter)
    if complete != len(wanted):
        raise AssertionError(f"{options.one} found {complete} of {len(wanted)} outputs.")
    found.update(seconds=found["seconds"] * share, cpu_seconds=found["cpu_seconds"] * share)
    print(json.dumps({**found, "requests": len(requests) * share}))


if __name__ == "__main__":
    main()
