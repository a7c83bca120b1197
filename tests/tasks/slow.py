"""Tasks that a test stops: `luigi --module tests.tasks.slow SlowBuild --folder PATH --settings JSON`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import luigi

import tasks
from dsp_pipeline.settings import BigQuerySettings
from dsp_pipeline.warehouse.bigquery import BigQueryWarehouse
from tests.contracts.rows import DAY, PARTITION, build, query_table

ENDLESS = """
SELECT c.click_id, COUNT(*) AS number
FROM click AS c, UNNEST(GENERATE_ARRAY(1, 200000)) AS a, UNNEST(GENERATE_ARRAY(1, 200000)) AS b
WHERE a * b = 7
GROUP BY c.click_id
"""

assert tasks.__all__  # its hooks are those of every run


class Estimating(BigQueryWarehouse):
    """The stand-in runs what it should only estimate, if it has parameters."""

    def _dry(self, sql: str, given: list[Any], what: str) -> Any:
        return super()._dry(sql.replace("@date", f"DATE '{DAY}'"), [], what)


class SlowBuild(luigi.Task):
    """A build that takes BigQuery hours."""

    folder = luigi.Parameter()
    settings = luigi.Parameter()
    number = luigi.IntParameter(default=0)

    def complete(self) -> bool:
        return False

    def run(self) -> None:
        folder = Path(self.folder)
        warehouse = Estimating(
            BigQuerySettings(**json.loads(self.settings)), scratch=folder / "scratch", memory_limit_mb=300, threads=1
        )
        table = query_table(folder, "endless", ENDLESS, version=f"v{self.number}")
        build(warehouse, table, DAY, slices={"click": [PARTITION]})


class SlowBuilds(luigi.WrapperTask):
    """Two of them."""

    folder = luigi.Parameter()
    settings = luigi.Parameter()

    def requires(self) -> list[SlowBuild]:
        return [SlowBuild(folder=self.folder, settings=self.settings, number=number) for number in (1, 2)]
