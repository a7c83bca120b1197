"""What cron starts every day."""

from __future__ import annotations

from datetime import datetime

import luigi

from dsp_pipeline.platform import HOURS
from dsp_pipeline.training.experiment import find_experiments, load_experiment
from tasks.bigquery_load import BigQueryLoad
from tasks.export_model import ExportModel
from tasks.parameters import DayParameter
from tasks.settings import platform, refuse_before_first


class DailyPipeline(luigi.WrapperTask):
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

    def _exports(self) -> list[ExportModel]:
        folder = platform().package / "experiments"
        return [
            ExportModel(experiment=name, arm=arm, date=self.date)
            for name in find_experiments(folder)
            for arm in load_experiment(folder, name).arms
        ]
