"""What cron starts every day."""

from __future__ import annotations

import logging
from datetime import date, datetime, timedelta
from functools import cache

import luigi
from luigi.task import MixinNaiveBulkComplete

from dsp_pipeline.errors import ExperimentError
from dsp_pipeline.platform import HOURS
from dsp_pipeline.training.experiment import Experiment
from dsp_pipeline.training.model import load_model
from tasks.bigquery_load import BigQueryLoad
from tasks.changes import late
from tasks.check_data import checks
from tasks.export_model import ExportModel
from tasks.parameters import DayParameter
from tasks.plan import steps
from tasks.s3_log_ingest import S3LogIngest
from tasks.settings import platform, refuse_before_first

log = logging.getLogger("dsp")


class DailyPipeline(MixinNaiveBulkComplete, luigi.WrapperTask):
    """All logs of the day in the warehouse and checked, and every arm of every experiment trained, judged and exported.

    It stands for logs up to the end of the day after. An experiment is judged on the newest day whose labels are whole
    by then: the day itself where a click counts for a day, an older one where a conversion counts for several.
    """

    date = DayParameter(description="the day, as 2026-11-21, or yesterday")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        refuse_before_first(self.date)
        self._exports()  # which looks at all the team's files

    def requires(self) -> list[luigi.Task]:
        events = platform().source.events
        loads = [
            BigQueryLoad(event=event, hour=datetime(self.date.year, self.date.month, self.date.day, hour))
            for event in events
            for hour in HOURS
        ]
        checked = [check for event in events for check in checks(event, [self.date])]
        return [*loads, *checked, *self._exports()]

    def run(self) -> None:
        """All is made; what it stands on may have changed since it was taken in."""
        for sentence in late(step for step in steps(self) if isinstance(step, S3LogIngest)):
            log.warning(sentence)

    def _exports(self) -> list[ExportModel]:
        experiments, first = platform().experiments(), platform().settings.first_date
        _refuse_two_served(experiments)
        found = []
        for experiment in experiments:
            day = self.date - timedelta(days=_days_waited(experiment))
            if day > first:
                found += [ExportModel(experiment=experiment.name, arm=arm, date=day) for arm in experiment.arms]
            else:
                _tell_untrained(experiment.name, self.date)
        return found


def _days_waited(experiment: Experiment) -> int:
    """How many days before the pipeline's day the newest one lies whose labels are whole."""
    one = platform()
    return max(0, one.catalog.days_after(load_model(one.package / "models", experiment.model).table) - 1)


@cache  # told once
def _tell_untrained(experiment: str, day: date) -> None:
    log.warning("there is no day to train %s on yet on %s: logs begin later than it needs", experiment, day)


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
