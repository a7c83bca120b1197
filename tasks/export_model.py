"""A fitted model → a bundle that a bidder can load, and the pointer that says so."""

from __future__ import annotations

import json
import logging
import secrets
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import luigi

from dsp_pipeline.errors import ConflictError
from dsp_pipeline.fingerprint import Version
from dsp_pipeline.receipts import Draft, Input, Receipt
from dsp_pipeline.registry.manifest import Identity, Manifest
from dsp_pipeline.registry.pointer import Pointer, pointer_to
from dsp_pipeline.training.trial import Trial
from tasks.parameters import DayParameter
from tasks.receipt_task import StoreTask, lineage
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
        return f"export/{self.experiment}/{self.arm}/{self.version().name}/", self.date.isoformat()

    def version(self) -> Version:
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
        receipt = draft.finish(self._trained().rows, files, details={"bundle": address})
        try:
            platform.outputs.receipts.write(receipt, replace=replace)
        except ConflictError:  # the other writer's bundle counts
            return platform.outputs.receipts.read(draft.address)
        return receipt

    def complete(self) -> bool:
        """The bundle is there, and if this arm is served the pointer of this environment is here, or at a newer day, or
        held: it was rolled back, and stays until somebody promotes."""
        return bool(super().complete()) and (not self.serves() or self._settled(self._current()))

    def run(self, *, replace: bool = False) -> None:
        super().run(replace=replace)
        if self.serves():
            self._serve()

    def serves(self) -> bool:
        return bool(self.arm == self._trial().experiment.serve)

    def _settled(self, current: Pointer | None) -> bool:
        """Whether the pointer, as it was read, stays."""
        receipt = self.receipt()
        if receipt is None or current is None:
            return False
        if current.date > self.date or current.address == receipt.details["bundle"]:
            return True
        if current.held:
            _tell_held(self.platform.settings.environment, self._trial().model.name, current.address)
        return current.held

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
                Identity(trial.model.name, self.experiment, self.arm, trial.version.name, self.date),
                model=model.read(),
                features=trial.model.contract(trial.table.version),
                metrics=json.load(report),
                lineage=lineage(draft.inputs),
                golden=pq.read_table(golden),
            )

    def _serve(self) -> None:
        """Move the pointer of this environment to the bundle that the receipt names, unless it is settled."""
        platform, model = self.platform, self._trial().model.name
        receipt = self.receipt()
        assert receipt is not None
        # The pointer that is decided on is the one that is swapped: who moved it in between is not overruled.
        while not self._settled(current := self._current()):
            pointer = pointer_to(
                platform.store, receipt.details["bundle"], pointed_at=datetime.now(UTC), current=current
            )
            try:
                platform.registry.point(
                    platform.settings.environment, model, pointer, current.etag if current else None
                )
            except ConflictError:
                continue  # somebody moved it since we looked: look again, and decide again

    def _current(self) -> Pointer | None:
        return self.platform.registry.resolve(self.platform.settings.environment, self._trial().model.name)

    def _trial(self) -> Trial:
        return self.requires().trial()

    def _trained(self) -> Receipt:
        return self.requires().output().receipt()


@cache  # told once
def _tell_held(environment: str, model: str, address: str) -> None:
    log.warning(
        "%s of %s was rolled back and is held at %s, so newer exports are not served; "
        "`dsp promote EXPERIMENT/ARM` serves the newest again",
        model,
        environment,
        address,
    )
