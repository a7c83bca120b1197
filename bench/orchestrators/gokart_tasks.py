"""gokart, which is luigi with a store for what tasks return."""

from __future__ import annotations

import argparse
import logging
import warnings

warnings.simplefilter("ignore")

import gokart  # noqa: E402
import luigi  # noqa: E402

from bench.orchestrators.loop import program  # noqa: E402


class Step(gokart.TaskOnKart):  # type: ignore[misc]
    day = luigi.IntParameter()

    def output(self):
        return self.make_target(f"{self.day}-{type(self).__name__.lower()}.txt", use_unique_id=False)

    def run(self):
        self.dump("done")


class Hour(Step):
    hour = luigi.IntParameter()

    def output(self):
        return self.make_target(f"{self.day}-{type(self).__name__.lower()}-{self.hour:02d}.txt", use_unique_id=False)


class Ingest(Hour):
    pass


class Load(Hour):
    def requires(self):
        return Ingest(day=self.day, hour=self.hour)


class Features(Step):
    def requires(self):
        return [Load(day=self.day, hour=hour) for hour in range(24)]


class Model(Step):
    def requires(self):
        return Features(day=self.day)


class Bundle(Step):
    def requires(self):
        return Model(day=self.day)


class Days(gokart.TaskOnKart):  # type: ignore[misc]
    days = luigi.IntParameter()

    def requires(self):
        return [Bundle(day=day) for day in range(self.days)]

    def output(self):
        return self.make_target("all.txt", use_unique_id=False)

    def run(self):
        self.dump("done")


def _run(days: int, folder: str, _asked: argparse.Namespace) -> None:
    luigi.configuration.get_config().set("TaskOnKart", "workspace_directory", folder)
    gokart.build(Days(days=days), log_level=logging.WARNING, return_value=False)


if __name__ == "__main__":
    program(_run)
