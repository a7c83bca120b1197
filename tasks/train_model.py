"""Feature rows of some days → a fitted model, judged on the day after them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import date, timedelta

import luigi

from dsp_pipeline.errors import TrainingError
from dsp_pipeline.fingerprint import Version
from dsp_pipeline.receipts import Draft, Input, Receipt
from dsp_pipeline.training.trial import SEED, Trial
from dsp_pipeline.warehouse.base import Slice
from tasks.feature_build import FeatureBuild
from tasks.parameters import DayParameter
from tasks.receipt_task import StoreTask, receipts

_TELL_EVERY = 1.0  # seconds between two notes of progress to luigid


class TrainModel(StoreTask):
    """Fits one arm of an experiment on the days before `date` and judges it on `date`, the held-out day."""

    experiment = luigi.Parameter(positional=False, description="the name of a .yaml file in dsp_pipeline/experiments/")
    arm = luigi.Parameter(positional=False, default="control", description="one of the experiment's arms")
    date = DayParameter(description="the held-out day, as 2026-11-21")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._slices()  # what is wrong in the team's files, or a day without a past, is told before anything runs

    def requires(self) -> list[FeatureBuild]:
        train, holdout = self._slices()
        days = [*train.partitions, *holdout.partitions]
        return [FeatureBuild(table=train.table.name, date=date.fromisoformat(day)) for day in days]

    def place(self) -> tuple[str, str]:
        return f"train/{self.experiment}/{self.arm}/{self.version().name}/", self.date.isoformat()

    def version(self) -> Version:
        return self.trial().version

    def trial(self) -> Trial:
        return self.platform.trial(self.experiment, self.arm)

    def inputs(self) -> list[Input]:
        return [receipt.as_input() for slice_ in self._slices() for receipt in receipts(slice_)]

    def make(self, draft: Draft, *, replace: bool) -> Receipt:
        import pyarrow.parquet as pq

        from dsp_pipeline.training.fit import fit

        platform, trial, (train, holdout) = self.platform, self.trial(), self._slices()
        columns = trial.model.columns
        with platform.scratch() as scratch:
            fitted = fit(
                trial.model,
                trial.parameters,
                trial.rounds,
                lambda: platform.warehouse.read(train, columns),
                lambda: platform.warehouse.read(holdout, columns),
                threads=platform.settings.threads,
                seed=SEED,
                scratch=scratch,
                progress=self._progress(),
            )
            (scratch / "model.ubj").write_bytes(fitted.model_bytes())
            (scratch / "report.json").write_text(json.dumps(fitted.report(), indent=1))
            pq.write_table(fitted.golden, scratch / "golden.parquet")
            files = {name: scratch / name for name in ("model.ubj", "report.json", "golden.parquet")}
            return platform.outputs.keep(
                draft, files, fitted.rows, details={"metrics": fitted.metrics.as_dict()}, replace=replace
            )

    def _slices(self) -> tuple[Slice, Slice]:
        """The days to train on, and the held-out day."""
        table, days = self.trial().table, self.trial().experiment.train_days
        train = self.platform.days(self.date - timedelta(days=days), self.date - timedelta(days=1))
        if not train:
            raise TrainingError(
                f"there is no day to train on before {self.date}: logs begin on {self.platform.settings.first_date} "
                "([dsp] first_date); take a later day."
            )
        return Slice(table, tuple(day.isoformat() for day in train)), Slice(table, (self.date.isoformat(),))

    def _progress(self) -> Callable[[int, int, float], None]:
        told_at = time.monotonic()

        def tell(done: int, rounds: int, log_loss: float) -> None:
            nonlocal told_at
            if time.monotonic() - told_at > _TELL_EVERY:
                told_at = time.monotonic()
                if self.set_status_message and self.set_progress_percentage:  # luigi runs it, not Restate
                    self.set_status_message(f"{done} of {rounds} trees, log loss {log_loss:.5f} on the training rows")
                    self.set_progress_percentage(round(100 * done / rounds))

        return tell
