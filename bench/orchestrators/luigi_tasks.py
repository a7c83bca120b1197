"""Luigi as it is, or as the pipeline's tasks set it up (--ours yes), in one process or asking the luigid at --url."""

from __future__ import annotations

import argparse
import warnings
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of settings in luigi.cfg that its client reads by itself
    import luigi

from bench.orchestrators.loop import program, write


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
    if asked.ours:
        from scheduler import worker

        worker.configure()
    given: dict[str, Any] = {"scheduler_url": asked.url} if asked.url else {"local_scheduler": True}
    luigi.build([Days(folder, days)], log_level="WARNING", **given)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    program(_run, "--url", "--ours")
