"""Some of a partition's rows, the same ones on each reading and in each warehouse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

_STEPS = 1 << 20  # of which a share is a whole number


@dataclass(frozen=True)
class Sampling:
    """Rows whose values of the columns `by` draw a number below `share`, and all in which `always` is true (or 1).

    The draw is FARM_FINGERPRINT of those values, so rows that agree in them are kept or left out together.
    """

    share: float
    by: tuple[str, ...]
    always: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it must know."""
        return (*self.by, *filter(None, [self.always]))

    @property
    def condition(self) -> str:
        """What follows WHERE, in BigQuery's dialect."""
        texts = ", '|', ".join(f"IFNULL(CAST(`{name}` AS STRING), '')" for name in self.by)
        drawn = f"(FARM_FINGERPRINT(CONCAT({texts}, '{_SALT}')) & {_STEPS - 1}) < {self._below}"
        return f"IFNULL(CAST(`{self.always}` AS BOOL), TRUE) OR {drawn}" if self.always else drawn

    def of(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of the batch that are among them."""
        import pyarrow as pa
        import pyarrow.compute as pc

        from dsp_pipeline.sql.translate import farm_fingerprint

        texts = [pc.fill_null(batch.column(name).cast(pa.string()), "") for name in self.by]
        drawn = farm_fingerprint(pc.binary_join_element_wise(*texts, _SALT.removeprefix("|"), "|"))
        kept = pc.less(pc.bit_wise_and(drawn, _STEPS - 1), self._below)
        if self.always:
            kept = pc.or_(kept, pc.fill_null(batch.column(self.always).cast(pa.bool_()), True))
        return batch.filter(kept)

    @property
    def _below(self) -> int:
        return round(self.share * _STEPS)


# So that the draw does not depend on codes that a query makes of the same key by FARM_FINGERPRINT.
_SALT = "|sampled"
