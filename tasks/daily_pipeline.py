"""What cron starts every day."""

from __future__ import annotations

import logging
from datetime import datetime

import luigi
from luigi.task import MixinNaiveBulkComplete

from dsp_pipeline.errors import ExperimentError
from dsp_pipeline.platform import HOURS
from dsp_pipeline.training.experiment import Experiment, find_experiments, load_experiment
from tasks.bigquery_load import BigQueryLoad
from tasks.changes import late
from tasks.export_model import ExportModel
from tasks.parameters import DayParameter
from tasks.plan import steps
from tasks.s3_log_ingest import S3LogIngest
from tasks.settings import platform, refuse_before_first

log = logging.getLogger("dsp")


class DailyPipeline(MixinNaiveBulkComplete, luigi.WrapperTask):
    """All logs of the day in the warehouse, and every arm of every experiment trained, judged on it and exported."""

    date = DayParameter(description="the day, as 2026-11-21")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        refuse_before_first(self.date)
        self._exports()  # which looks at all the team's files

    def requires(self) -> list[luigi.Task]:
        loads = [
            BigQueryLoad(event=event, hour=datetime(self.date.year, self.date.month, self.date.day, hour))
            for event in platform().source.events
            for hour in HOURS
        ]
        return [*loads, *self._exports()]

    def run(self) -> None:
        """All is made; what it stands on may have changed since it was taken in."""
        for sentence in late(step for step in steps(self) if isinstance(step, S3LogIngest)):
            log.warning(sentence)

    def _exports(self) -> list[ExportModel]:
        folder = platform().package / "experiments"
        experiments = [load_experiment(folder, name) for name in find_experiments(folder)]
        _refuse_two_served(experiments)
        if self.date == platform().settings.first_date:
            log.warning("there is no day to train on before %s, the first day of logs: it is only loaded", self.date)
            return []
        return [
            ExportModel(experiment=experiment.name, arm=arm, date=self.date)
            for experiment in experiments
            for arm in experiment.arms
        ]


def _refuse_two_served(experiments: list[Experiment]) -> None:
    """Bidders load one bundle a model, so only one experiment may say which."""
    served: dict[str, Experiment] = {}
    for experiment in experiments:
        if experiment.serve is not None:
            other = served.setdefault(experiment.model, experiment)
            if other is not experiment:
                raise ExperimentError(
                    experiment.file,
                    None,
                    f"{other.name} serves the model {experiment.model} already; leave `serve` out of one of them.",
                )
