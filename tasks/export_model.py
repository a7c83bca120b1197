"""A fitted model → a bundle that a bidder can load, and the pointer that says so."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import luigi

from dsp_pipeline.errors import ConflictError
from dsp_pipeline.fingerprint import Version
from dsp_pipeline.receipts import Draft, Input, Receipt
from dsp_pipeline.registry.budget import Budget, read_budget
from dsp_pipeline.registry.gate import read_bounds
from dsp_pipeline.registry.manifest import Identity
from dsp_pipeline.registry.mlflow_log import log_bundle
from dsp_pipeline.registry.pointer import Pointer, pointer_to
from dsp_pipeline.training.trial import Trial
from dsp_pipeline.warehouse.base import Slice
from tasks.feature_build import FeatureBuild
from tasks.gate import champion_of, decided, is_refused, is_rival
from tasks.parameters import DayParameter
from tasks.receipt_task import StoreTask, lineage, receipts
from tasks.train_model import REPLAY, TrainModel

if TYPE_CHECKING:
    import pyarrow as pa

    from dsp_pipeline.registry.bundle import Bundle

log = logging.getLogger("dsp")


class ExportModel(StoreTask):
    """Publishes the bundle of a trained arm. If it is the arm that its experiment serves, bidders get it."""

    experiment = luigi.Parameter(positional=False, description="the name of a .yaml file in dsp_pipeline/experiments/")
    arm = luigi.Parameter(positional=False, default="control", description="one of the experiment's arms")
    date = DayParameter(description="the held-out day, as 2026-11-21, or yesterday")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.training()  # which looks at the team's files
        self._budget = read_budget(self._trial().experiment.budget)
        read_bounds(self._trial().experiment.gate)

    def requires(self) -> list[luigi.Task]:
        return [self.training(), *self._lookup_days(), *self._as_on_the_champions_day()]

    def training(self) -> TrainModel:
        return TrainModel(experiment=self.experiment, arm=self.arm, date=self.date)

    def place(self) -> tuple[str, str]:
        return f"export/{self.experiment}/{self.arm}/{self.version().name}/", self.date.isoformat()

    def version(self) -> Version:
        return self.training().version()

    def inputs(self) -> list[Input]:
        lookups = [receipt.as_input() for slice_ in self._lookups() for receipt in receipts(slice_)]
        return [self._trained().as_input(), *lookups]

    def make(self, draft: Draft, *, replace: bool) -> Receipt:
        import pyarrow.parquet as pq

        platform = self.platform
        with platform.scratch() as scratch:
            folder = scratch / "bundle"
            self.write_bundle(folder, partial(platform.outputs.open, self._trained()), lineage(draft.inputs))
            with platform.outputs.open(self._trained(), REPLAY) as stream:
                bundle, checks = self.checked(folder, pq.read_table(stream))
            address = bundle.manifest.identity.address(secrets.token_hex(4))
            files = platform.registry.publish(folder, address)
            receipt = draft.finish(self._trained().rows, files, details={"bundle": address, "checks": checks})
            try:
                platform.outputs.receipts.write(receipt, replace=replace)
            except ConflictError:  # the other writer's bundle counts
                return platform.outputs.receipts.read(draft.address)
            log_bundle(platform.settings.mlflow_tracking_uri, self.experiment, self._trained(), address, folder)
        return receipt

    def write_bundle(
        self,
        folder: Path,
        trained: Callable[[str], BinaryIO],
        upstream: Mapping[str, Any],
        *,
        lookups: bool = True,
    ) -> None:
        """Write the bundle's files into a new folder. `trained` opens the files that training made."""
        from dsp_pipeline.registry.bundle import Lookup, write_bundle

        read, found = self.platform.warehouse.read, []
        for slice_ in self._lookups() if lookups else ():
            table, (day,) = slice_.table, slice_.partitions
            columns = self.platform.catalog.query(table.name).columns
            found.append(Lookup(table.name, table.key, columns, day, partial(read, slice_, columns)))
        write_bundle(folder, self._identity(), trained, lineage=upstream, lookups=found)

    def checked(self, folder: Path, logged: pa.Table | None = None) -> tuple[Bundle, dict[str, Any]]:
        """The bundle, loaded back, and what was measured. BundleError if it may not be served.

        Each format scores its golden rows as they were written, and `logged` requests as training did; and it is as
        small and as fast as the experiment's `budget` says.
        """
        from dsp_pipeline.registry.bundle import load_bundle
        from dsp_pipeline.registry.parity import check_parity

        bundle = load_bundle(folder)
        checks = {"golden": check_parity(folder, bundle.golden, self._budget)}
        if logged is not None and logged.num_rows:
            checks["replay"] = check_parity(folder, logged, Budget())
        return bundle, checks

    def complete(self) -> bool:
        """The bundle is there, and if this arm is served the pointer of this environment is here, or at a newer day, or
        held: it was rolled back, and stays until somebody promotes. Or it was decided that the bundle is not served."""
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
        if receipt is None:
            return False
        if current is None:
            return is_refused(self._trial().model.name, receipt.details["bundle"])
        if current.date > self.date or current.address == receipt.details["bundle"]:
            return True
        if current.held:
            _tell_held(self.platform.settings.environment, self._trial().model.name, current.address)
        return current.held or is_refused(self._trial().model.name, receipt.details["bundle"])

    def _lookups(self) -> list[Slice]:
        """What bidders look up on the day after the held-out one: what was known when that ended."""
        day = (self.date + timedelta(days=1)).isoformat()
        return [Slice(table, (day,)) for table in self.platform.lookups(self._trial().table)]

    def _lookup_days(self) -> list[FeatureBuild]:
        day = self.date + timedelta(days=1)
        return [FeatureBuild(table=slice_.table.name, date=day) for slice_ in self._lookups()]

    def _serve(self) -> None:
        """Move the pointer of this environment to the bundle that the receipt names, unless it is settled, or the gate
        refuses it."""
        platform, model = self.platform, self._trial().model.name
        receipt = self.receipt()
        assert receipt is not None
        address = receipt.details["bundle"]
        # The pointer that is decided on is the one that is swapped: who moved it in between is not overruled.
        while not self._settled(current := self._current()):
            decision = decided(self._trial(), self._identity(), address, current)
            if not decision.accepted:
                log.warning("%s is not served: %s `dsp decisions %s` tells all.", self, decision.reasons[0], model)
                return
            pointer = pointer_to(platform.store, address, pointed_at=datetime.now(UTC), current=current)
            try:
                platform.registry.point(
                    platform.settings.environment, model, pointer, current.etag if current else None
                )
            except ConflictError:
                continue  # somebody moved it since we looked: look again, and decide again

    def _as_on_the_champions_day(self) -> list[TrainModel]:
        """What a challenger must have learned by the champion's day, so that both were judged on the same rows."""
        current = self._current() if self.serves() else None
        if current is None or not is_rival(self._identity(), champion_of(self._trial().model.name, current)):
            return []
        if not self.platform.settings.first_date < current.date < self.date:
            return []
        return [TrainModel(experiment=self.experiment, arm=self.arm, date=current.date)]

    def _identity(self) -> Identity:
        trial = self._trial()
        return Identity(trial.model.name, self.experiment, self.arm, trial.version.name, self.date)

    def _current(self) -> Pointer | None:
        return self.platform.registry.resolve(self.platform.settings.environment, self._trial().model.name)

    def _trial(self) -> Trial:
        return self.training().trial()

    def _trained(self) -> Receipt:
        return self.training().output().receipt()


@cache  # told once
def _tell_held(environment: str, model: str, address: str) -> None:
    log.warning(
        "%s of %s was rolled back and is held at %s, so newer exports are not served; "
        "`dsp promote EXPERIMENT/ARM` serves the newest again",
        model,
        environment,
        address,
    )
