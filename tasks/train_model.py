"""Feature rows of some days → a fitted model, calibrated on the day after them and judged on the day after that."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import luigi

from dsp_pipeline.errors import TrainingError
from dsp_pipeline.fingerprint import Version
from dsp_pipeline.receipts import Draft, Input, Receipt
from dsp_pipeline.registry.manifest import CARD, FEATURES, GOLDEN, METRICS, MODEL, dump_json
from dsp_pipeline.registry.mlflow_log import log_training
from dsp_pipeline.training.trial import SEED, Days, Trial
from dsp_pipeline.warehouse.sampling import Sampling
from tasks.check_data import checks
from tasks.feature_build import FeatureBuild
from tasks.parameters import DayParameter
from tasks.receipt_task import StoreTask, lineage, receipts

if TYPE_CHECKING:
    from dsp_pipeline.training.fit import Fitted, Progress, Rows

log = logging.getLogger("dsp")

# What does not go into a bundle: scores of the held-out rows, for comparisons, and logged requests with their scores.
SCORES, REPLAY = "scores.parquet", "replay.parquet"
FILES = (MODEL, FEATURES, METRICS, GOLDEN, CARD, SCORES)
_JUDGED_ROWS = 2_000_000  # of the held-out day, so that memory does not grow with it: whole units, drawn by their hash
_TELL_EVERY, _LOG_EVERY = 1.0, 15.0  # seconds between two notes of progress to luigid, and in the log
_BLOCKS, _CURVE = "▁▂▃▄▅▆▇█", 24


class TrainModel(StoreTask):
    """Fits one arm of an experiment on the days before `date` and judges it on `date`, the held-out day."""

    experiment = luigi.Parameter(positional=False, description="the name of a .yaml file in dsp_pipeline/experiments/")
    arm = luigi.Parameter(positional=False, default="control", description="one of the experiment's arms")
    date = DayParameter(description="the held-out day, as 2026-11-21, or yesterday")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.days()  # what is wrong in the team's files, or a day without a past, is told before anything runs

    def requires(self) -> list[luigi.Task]:
        return [*self.builds(), *checks(self.trial().table.name, self.days().all)]

    def builds(self) -> list[FeatureBuild]:
        """The days of the table that it reads."""
        return [FeatureBuild(table=self.trial().table.name, date=day) for day in self.days().all]

    def place(self) -> tuple[str, str]:
        return f"train/{self.experiment}/{self.arm}/{self.version().name}/", self.date.isoformat()

    def version(self) -> Version:
        return self.trial().version

    def trial(self) -> Trial:
        return self.platform.trial(self.experiment, self.arm)

    def days(self) -> Days:
        """Which day is for what. TrainingError if there is none to learn from."""
        before = self.platform.days(
            self.date - timedelta(days=self.trial().experiment.train_days), self.date - timedelta(days=1)
        )
        if not before:
            raise TrainingError(
                f"there is no day to train on before {self.date}: logs begin on {self.platform.settings.first_date} "
                "([dsp] first_date); take a later day."
            )
        return Days.of(before, self.date)

    def inputs(self) -> list[Input]:
        return [receipt.as_input() for receipt in receipts(self.trial().slice(self.days().all))]

    def make(self, draft: Draft, *, replace: bool) -> Receipt:
        platform = self.platform
        with platform.scratch() as scratch:
            fitted = self.fit(self.rows(), scratch, self._progress())
            self._replay(fitted, scratch)
            self.trial().refuse_leaks(fitted.report["leaks"])
            report = self.write(fitted, scratch, lineage(draft.inputs), draft.cost())
            files = {name: scratch / name for name in (*FILES, REPLAY)}
            receipt = platform.outputs.keep(
                draft, files, fitted.rows, details={"metrics": report["holdout"]}, replace=replace
            )
            log_training(platform.settings.mlflow_tracking_uri, receipt, report, [files[CARD], files[METRICS]])
        for leak in report["leaks"]:
            log.warning("%s: %s", self, leak["message"])
        return receipt

    def fit(self, rows: Rows, scratch: Path, progress: Progress | None = None) -> Fitted:
        """The fitted model. TrainingError if the rows do not allow one."""
        from dsp_pipeline.training.engine import grow_with
        from dsp_pipeline.training.fit import fit

        trial, settings = self.trial(), self.platform.settings
        grow = grow_with(trial.experiment.engine, settings.dask_scheduler)
        return fit(
            trial.model, rows, threads=settings.threads, seed=SEED, scratch=scratch, grow=grow, progress=progress
        )

    def write(
        self, fitted: Fitted, folder: Path, upstream: Mapping[str, Any], cost: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Write the files beside the scores, which are in the folder already; returns the report."""
        import pyarrow.parquet as pq

        from dsp_pipeline.registry.card import render_card

        trial = self.trial()
        report = trial.report(fitted, self.days())
        (folder / MODEL).write_bytes(fitted.model_bytes())
        (folder / FEATURES).write_bytes(dump_json(trial.contract(fitted)))
        (folder / METRICS).write_bytes(dump_json(report))
        (folder / CARD).write_bytes(render_card(report, upstream, cost))
        pq.write_table(fitted.golden, folder / GOLDEN)
        return report

    def _replay(self, fitted: Fitted, scratch: Path) -> None:
        """Logged requests with the score that training gave them: the bundle must give it to them again.

        A feature that differs when only what was known in time is given is a leak.
        """
        import pyarrow.parquet as pq

        from dsp_pipeline.replay import replay
        from dsp_pipeline.training.leaks import future_leaks

        table, features = self.trial().table, [feature.name for feature in self.trial().model.features]
        found = replay(self.platform, table, self.date, features, scratch)
        leaks = future_leaks(found.stored, found.logged, table.key, features)
        fitted.report["leaks"] += [leak.as_dict() for leak in leaks]
        scores = pq.read_table(fitted.scores, columns=[*table.key, "score"])
        logged = found.logged.join(scores, list(table.key), join_type="inner", use_threads=False)
        pq.write_table(logged.sort_by([(name, "ascending") for name in table.key]), scratch / REPLAY)

    def rows(self) -> Rows:
        """Where the rows come from that are in the warehouse."""
        from dsp_pipeline.training.fit import Rows

        trial, days = self.trial(), self.days()
        model, key, read = trial.model, trial.table.key, self.platform.warehouse.read
        holdout = trial.slice([days.holdout])
        rows, judged = sum(receipt.rows for receipt in receipts(holdout)), None
        if rows > _JUDGED_ROWS:
            judged = Sampling(_JUDGED_ROWS / rows, (model.unit,) if model.unit else key)
        return Rows(
            partial(read, trial.slice(days.train), model.columns, trial.sampling),
            partial(read, trial.slice([days.validation]), model.columns) if days.validation else None,
            partial(read, holdout, trial.judged_columns, judged),
            key,
        )

    def _progress(self) -> Progress:
        """Tells luigid every second and the log now and then, with the curve of the log loss so far."""
        told_at = logged_at = time.monotonic()
        losses: list[float] = []

        def tell(done: int, rounds: int, log_loss: float) -> None:
            nonlocal told_at, logged_at
            losses.append(log_loss)
            now = time.monotonic()
            if now - told_at <= _TELL_EVERY:
                return
            told_at = now
            said = f"{done} of at most {rounds} trees, log loss {log_loss:.5f} {_curve(losses)}"
            if self.set_status_message and self.set_progress_percentage:  # luigi runs it, not Restate
                self.set_status_message(said)
                self.set_progress_percentage(round(100 * done / rounds))
            if now - logged_at > _LOG_EVERY:
                logged_at = now
                log.info("%s: %s", self, said)

        return tell


def _curve(losses: Sequence[float]) -> str:
    """How a loss fell, from its first value to its last, in a line of blocks."""
    step = max(1, len(losses) // _CURVE)
    some = losses[step - 1 :: step]
    low, high = min(some), max(some)
    return "".join(_BLOCKS[round((one - low) / (high - low or 1) * (len(_BLOCKS) - 1))] for one in some)
