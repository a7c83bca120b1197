"""How large and how slow a bundle may be: an experiment's `budget:`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from dsp_pipeline.errors import BundleError
from dsp_pipeline.yamlfile import Block


@dataclass(frozen=True)
class Budget:
    """What a bundle may take: megabytes (10**6 bytes) of all its files, microseconds for one row. None: no limit."""

    max_megabytes: float | None = None
    max_microseconds: float | None = None

    def check(self, folder: Path, megabytes: float, microseconds: float) -> None:
        """BundleError if either is exceeded."""
        for found, limit, what, key, cure in (
            (megabytes, self.max_megabytes, "has {:.3g} MB", "max_megabytes", "smaller trees"),
            (microseconds, self.max_microseconds, "takes {:.0f} microseconds a row", "max_microseconds", "fewer trees"),
        ):
            if limit is not None and found > limit:
                raise BundleError(
                    f"the bundle in {folder} {what.format(found)} and the experiment's budget says {key}: {limit:g}; "
                    f"grow {cure}, or change the budget."
                )


def read_budget(block: Block | None) -> Budget:
    """The limits of an experiment's `budget:`. Wrong values name file and line."""
    if block is None:
        return Budget()
    block.allow(tuple(asdict(Budget())))
    found: dict[str, float | None] = {}
    for key in asdict(Budget()):
        value = block.get_as(key, (int, float), "a number above 0")
        if value is not None and not value > 0:
            raise block.problem(f"`{key}` is {value}; it is a number above 0.", key)
        found[key] = value
    return Budget(**found)
