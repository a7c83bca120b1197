"""What grows the trees: this machine, or a cluster. Nothing of the cluster is imported before it is asked for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from dsp_pipeline.errors import SettingsError
from dsp_pipeline.training.experiment import DASK

if TYPE_CHECKING:
    from dsp_pipeline.training.fit import Grow


def grow_with(engine: str, dask_scheduler: str) -> Grow | None:
    """What `fit` is given as `grow` for an experiment's `engine`; None, its own, for this machine.

    SettingsError if the engine needs an address that is not set, or a package that is not installed.
    """
    if engine != DASK:
        return None
    if not dask_scheduler:
        raise SettingsError(
            "[dsp] dask_scheduler is not set, and an experiment says `engine: dask`; give the address of the "
            "cluster's scheduler, as tcp://10.0.1.5:8786, or write `engine: local`."
        )
    try:
        from dsp_pipeline.training.dask_boost import grow
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{error.name} is not installed, and an experiment says `engine: dask`; install this project with its "
            "extra `dask`, or write `engine: local`."
        ) from error
    return partial(grow, dask_scheduler)
