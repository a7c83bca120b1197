"""A fitted model → a bundle that a bidder can load, and the pointer that says so."""

from __future__ import annotations

import json
import logging
import secrets
from datetime import UTC, datetime
from pathlib import Path

import luigi

from dsp_pipeline.errors import ConflictError
from dsp_pipeline.receipts import Draft, Input, Receipt
from dsp_pipeline.registry.manifest import Identity, Manifest
from dsp_pipeline.registry.pointer import may_replace, pointer_to
from dsp_pipeline.training.trial import Trial
from tasks.parameters import DayParameter
from tasks.receipt_task import StoreTask
from tasks.train_model import TrainModel

log = logging.getLogger("dsp")


class ExportModel(StoreTask):
    """Publishes the bundle of a trained arm. If it is the arm that its experiment serves, bidders get it."""

    experiment = luigi.Parameter(positional=False, description="the name of a .yaml file in dsp_pipeline/experiments/")
    arm = luigi.Parameter(positional=False, default="control", description="one of the experiment's arms")
    date = DayParameter(description="the held-out day, as 2026-11-21")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.requires()  # which looks at the team's files

    def requires(self) -> TrainModel:
        return TrainModel(experiment=self.experiment, arm=self.arm, date=self.date)

    def place(self) -> tuple[str, str]:
        return f"export/{self.experiment}/{self.arm}/{self.version()}/", self.date.isoformat()

    def version(self) -> str:
        return self.requires().version()

    def inputs(self) -> list[Input]:
        return [self._trained().as_input()]

    def make(self, draft: Draft, *, replace: bool) -> Receipt:
        from dsp_pipeline.registry.bundle import load_bundle

        platform = self.platform
        with platform.scratch() as scratch:
            manifest = self._write_bundle(scratch / "bundle", draft)
            load_bundle(scratch / "bundle")  # scores its golden rows again, before anybody can see it
            address = manifest.identity.address(secrets.token_hex(4))
            files = platform.registry.publish(scratch / "bundle", address)
        served = self._serve(address) if self.arm == self._trial().experiment.serve else False
        receipt = draft.finish(len(files), files, details={"bundle": address, "served": served})
        try:
            platform.outputs.receipts.write(receipt, replace=replace)
        except ConflictError:  # the other writer's bundle counts; ours stays, for a bidder may be loading it
            return platform.outputs.receipts.read(draft.address)
        return receipt

    def _write_bundle(self, folder: Path, draft: Draft) -> Manifest:
        import pyarrow.parquet as pq

        from dsp_pipeline.registry.bundle import write_bundle

        outputs, trial, trained = self.platform.outputs, self._trial(), self._trained()
        with (
            outputs.open(trained, "model.ubj") as model,
            outputs.open(trained, "report.json") as report,
            outputs.open(trained, "golden.parquet") as golden,
        ):
            return write_bundle(
                folder,
                Identity(trial.model.name, self.experiment, self.arm, trial.version, self.date),
                model=model.read(),
                features=trial.model.contract(trial.table.version),
                metrics=json.load(report),
                lineage=self.platform.lineage(draft.inputs),
                golden=pq.read_table(golden),
            )

    def _serve(self, address: str) -> bool:
        """Move the pointer of this environment here, unless it names a newer day. Whether it did."""
        platform, model = self.platform, self._trial().model.name
        environment = platform.settings.environment
        while True:
            current = platform.registry.resolve(environment, model)
            pointer = pointer_to(platform.store, address, pointed_at=datetime.now(UTC), current=current)
            if not may_replace(current, pointer):
                log.info("%s: serving/%s/%s.json names a newer day and stays", self, environment, model)
                return False
            try:
                platform.registry.point(environment, model, pointer, current.etag if current else None)
                return True
            except ConflictError:
                continue  # somebody moved it since we looked: look again, and decide again

    def _trial(self) -> Trial:
        return self.requires().trial()

    def _trained(self) -> Receipt:
        return self.platform.outputs.receipts.read(self.requires().output().address)
