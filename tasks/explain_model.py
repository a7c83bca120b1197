"""Why one row has its score."""

from __future__ import annotations

import luigi

from dsp_pipeline.errors import NotReadyError
from tasks.export_model import ExportModel
from tasks.parameters import DayParameter
from tasks.plan import tell
from tasks.settings import platform


class ExplainModel(luigi.Task):
    """Tells the score of one row of the held-out day in parts, by the bundle of a trained arm. It writes nothing."""

    experiment = luigi.Parameter(positional=False, description="the name of a .yaml file in dsp_pipeline/experiments/")
    arm = luigi.Parameter(positional=False, default="control", description="one of the experiment's arms")
    date = DayParameter(description="the held-out day, as 2026-11-21, which the row is of")
    key = luigi.Parameter(
        positional=False, description="the key of the row in the model's table, as an impression's id"
    )

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._export = ExportModel(experiment=self.experiment, arm=self.arm, date=self.date)

    def complete(self) -> bool:
        """Asking is all there is to do, and it is told where it was asked for, whoever works for luigid."""
        tell(self._told())
        return True

    def _told(self) -> list[str]:
        receipt = self._export.receipt()
        if receipt is None:
            raise NotReadyError(
                f"{self._export} is not complete, so there is no bundle to explain; run it first, or give a day whose "
                "bundle is there, as `dsp models` lists them."
            )
        from dsp_pipeline.explained import Side, explain_row, find_row

        one, address = platform(), receipt.details["bundle"]
        with one.scratch() as scratch:
            bundle = one.registry.fetch(address, scratch / "bundle")
            side = Side(bundle.scorer, bundle.features, self._export.training().trial().table)
            row = find_row(one.warehouse, side.table, [self.date.isoformat()], self.key, side.columns)
            parts = explain_row(bundle.manifest.identity.model, side, bundle.metrics, row)
        return [parts.words(), "", *parts.lines()]
