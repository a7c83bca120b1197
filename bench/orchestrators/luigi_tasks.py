"""Luigi: with its own scheduler or ours, in the process of the worker or asking the luigid at --url."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import luigi

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from loop import program, write  # noqa: E402  # stands alone, as the others here


class Step(luigi.Task):
    folder = luigi.Parameter()
    day = luigi.IntParameter()

    def output(self) -> luigi.LocalTarget:
        return luigi.LocalTarget(f"{self.folder}/{self.day}-{self.task_family.lower()}")

    def run(self) -> None:
        write(self.output().path)


class Hour(Step):
    hour = luigi.IntParameter()

    def output(self) -> luigi.LocalTarget:
        return luigi.LocalTarget(f"{self.folder}/{self.day}-{self.task_family.lower()}-{self.hour:02d}")


class Ingest(Hour):
    pass


class Load(Hour):
    def requires(self) -> luigi.Task:
        return Ingest(self.folder, self.day, self.hour)


class Features(Step):
    def requires(self) -> list[luigi.Task]:
        return [Load(self.folder, self.day, hour) for hour in range(24)]


class Model(Step):
    def requires(self) -> luigi.Task:
        return Features(self.folder, self.day)


class Bundle(Step):
    def requires(self) -> luigi.Task:
        return Model(self.folder, self.day)


class Days(luigi.WrapperTask):
    folder = luigi.Parameter()
    days = luigi.IntParameter()

    def requires(self) -> list[luigi.Task]:
        return [Bundle(self.folder, day) for day in range(self.days)]


def _run(days: int, folder: str, asked: argparse.Namespace) -> None:
    given: dict[str, Any] = {"scheduler_url": asked.url} if asked.url else {"local_scheduler": True}
    luigi.build([Days(folder, days)], log_level="WARNING", **given)


if __name__ == "__main__":
    if "--ours" in sys.argv:
        sys.argv.remove("--ours")
        from scheduler import worker

        worker.configure()
    program(_run, "--url")
