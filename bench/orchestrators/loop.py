"""No orchestrator: a loop over the files, which skips those that are there."""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path


def write(path: str) -> None:
    """The work of a task: replace the file."""
    part = f"{path}.{os.getpid()}.part"
    with open(part, "w") as out:
        out.write("done\n")
    os.replace(part, path)


def names_of_a_day() -> list[list[str]]:
    hours = range(24)
    first = [f"ingest-{hour:02d}" for hour in hours], [f"load-{hour:02d}" for hour in hours]
    return [*first, ["features"], ["model"], ["bundle"]]


def spent() -> float:
    """CPU seconds of this process and of its children that ended."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in both)


def program(run: Callable[[int, str, argparse.Namespace], None], *options: str) -> None:
    """Run with the number of days and a folder, and tell the cost."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--days", type=int, required=True)
    parser.add_argument("--folder", required=True)
    for option in options:
        parser.add_argument(option)
    asked = parser.parse_args()
    cpu, began = spent(), time.perf_counter()
    run(asked.days, asked.folder, asked)
    cost = {"cpu_seconds": spent() - cpu, "seconds": time.perf_counter() - began}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({**cost, "peak_bytes": peak, "tasks": len(list(Path(asked.folder).glob("[0-9]*-*")))}))


def _loop(days: int, folder: str, _asked: argparse.Namespace) -> None:
    for day in range(days):
        for names in names_of_a_day():
            for name in names:
                path = f"{folder}/{day}-{name}"
                if not os.path.exists(path):
                    write(path)


if __name__ == "__main__":
    program(_loop)
