"""Trees from pages on disk, grown by XGBoost's own Dask support on a cluster of machines.

Each worker holds an equal share of the rows, in the order of the pages, and grows the same trees as the others; what
they exchange are histograms. So the model is the one that a single machine grows, up to the rounding of sums and to
quantiles that are merged from those of each worker. For the same rows and number of workers it is equal to the byte.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import xgboost
from distributed import Client, Future, KilledWorker, Worker, get_worker
from distributed.comm.addressing import get_address_host
from numpy.typing import NDArray
from xgboost import collective
from xgboost import dask as xgboost_dask
from xgboost.callback import TrainingCallback
from xgboost.core import XGBoostError

from dsp_pipeline.errors import NotReadyError, SettingsError, TrainingError, first_line
from dsp_pipeline.training.boost import (
    Grown,
    Progress,
    Reporter,
    Soil,
    base_margin,
    column_types,
    curve,
    highest_codes,
    parameters_of,
    stopping,
)
from dsp_pipeline.training.pages import Encoded, Pages

log = logging.getLogger("dsp")

_ANSWER_SECONDS = 30  # in which a scheduler answers
_WORKER_SECONDS = 120  # in which it has a worker


def grow(scheduler: str, soil: Soil, scratch: Path, progress: Progress | None) -> Grown:
    """As boost.grow, on the cluster whose scheduler is at this address, as tcp://10.0.1.5:8786.

    Rows go from the pages to the workers one page at a time, through the scheduler; there they are held in memory.
    A worker uses as many threads as it was started with. Nothing is written to `scratch`.

    SettingsError if nobody answers, or a worker has other software; NotReadyError if there is no worker;
    TrainingError if the cluster fails meanwhile.
    """
    with _connected(scheduler) as client:
        workers = _workers(client, scheduler)
        try:
            return _grown(client, workers, soil, progress)
        except (CancelledError, KilledWorker, OSError, RuntimeError, ValueError, XGBoostError) as error:
            raise TrainingError(
                f"the Dask cluster at {scheduler} failed while it grew trees ({type(error).__name__}: "
                f"{first_line(error)}); look at its workers' logs and memory, then run again."
            ) from error


@contextmanager
def _connected(scheduler: str) -> Iterator[Client]:
    try:
        client = Client(scheduler, timeout=_ANSWER_SECONDS)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"no Dask scheduler answers at {scheduler} ({error}); start one, or correct [dsp] dask_scheduler."
        ) from error
    with client:
        yield client


def _workers(client: Client, scheduler: str) -> list[str]:
    """The addresses of all workers, in the order in which XGBoost counts them: by name, as text."""
    try:
        client.wait_for_workers(1, timeout=_WORKER_SECONDS)
    except TimeoutError as error:
        raise NotReadyError(
            f"the Dask cluster at {scheduler} has no worker after {_WORKER_SECONDS} s; start some, then run again."
        ) from error
    try:
        found = client.run(_name_and_version)
    except ImportError as error:
        raise SettingsError(
            f"the workers of the Dask cluster at {scheduler} lack what trains ({error}); start them from this "
            "project's image, with the extras `train` and `dask`."
        ) from error
    for address, (_, version) in found.items():
        if version != xgboost.__version__:
            raise SettingsError(
                f"the Dask worker {address} has xgboost {version} and this machine {xgboost.__version__}; start it "
                "from the same image."
            )
    # As xgboost.dask.CommunicatorContext names them, and its tracker sorts them.
    return sorted(found, key=lambda address: f"[xgboost.dask-{found[address][0]}]:{address}")


def _name_and_version(dask_worker: Worker) -> tuple[str, str]:
    return str(dask_worker.name), str(xgboost.__version__)


def _grown(client: Client, workers: list[str], soil: Soil, progress: Progress | None) -> Grown:
    fewest = min(pages.rows for pages in (soil.train, soil.validation) if pages is not None)
    workers = workers[:fewest]  # one without rows is none to XGBoost
    parameters = {name: value for name, value in parameters_of(soil).items() if name != "nthread"}
    train = _matrix(client, workers, soil, soil.train)
    watched = [(train, "train")]
    if soil.validation is not None:
        watched.append((_matrix(client, workers, soil, soil.validation, train), "validation"))
    callbacks: list[TrainingCallback] = list(stopping(soil))
    if progress:
        topic = f"progress-{client.id}"
        client.subscribe_topic(topic, lambda event: progress(*event[1]))
        callbacks.insert(0, _Teller(topic, soil.model.rounds))
    host = get_address_host(client.scheduler_info()["address"])  # which workers reach, as they registered there
    with xgboost.config_context(verbosity=0):
        found = xgboost_dask.train(
            client,
            parameters,
            train,
            num_boost_round=soil.model.rounds,
            evals=watched,
            verbose_eval=False,
            callbacks=callbacks,
            coll_cfg=collective.Config(tracker_host_ip=host.strip("[]")),
        )
    booster = found["booster"]
    booster.set_param({"nthread": soil.threads})  # it comes with those of a worker
    return Grown(booster, curve(found["history"]))


@dataclass
class _Columns:
    """Pieces of arrays on workers, in order, by the name that XGBoost gives each array."""

    pieces: dict[str, list[da.Array]] = field(default_factory=dict)

    def add(self, name: str, future: Future[Any], array: NDArray[Any]) -> None:
        piece = da.from_delayed(future, array.shape, array.dtype)
        self.pieces.setdefault(name, []).append(piece)

    def whole(self) -> dict[str, da.Array]:
        return {name: da.concatenate(pieces) for name, pieces in self.pieces.items()}


def _matrix(
    client: Client, workers: list[str], soil: Soil, pages: Pages, ref: Any = None
) -> xgboost_dask.DaskQuantileDMatrix:
    """The rows of the pages on the workers; `ref` is the matrix that the trees are grown from, if this is another."""
    columns, placed = _Columns(), dict.fromkeys(workers, 0)
    for place, given in _pieces(soil, pages, len(workers), validation=ref is not None):
        arrays = list(given.values())
        futures = client.scatter(arrays, workers=[workers[place]], hash=False)
        for name, future, array in zip(given, futures, arrays, strict=True):
            columns.add(name, future, array)
        placed[workers[place]] += 1
    matrix = xgboost_dask.DaskQuantileDMatrix(
        client,
        **columns.whole(),
        **column_types(soil.model),
        max_bin=parameters_of(soil)["max_bin"],
        ref=ref,
        enable_categorical=True,
    )
    if {address: len(parts) for address, parts in matrix.worker_map.items()} != placed:
        log.warning(
            "the Dask cluster moved rows from one worker to another, as it does when others use it too: "
            "this model will differ in its last digits from others of the same rows"
        )
    return matrix


def _pieces(
    soil: Soil, pages: Pages, workers: int, *, validation: bool
) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
    """What XGBoost is given of a page or of a part of it, and which worker gets it, counted from 0."""
    highest = np.asarray(highest_codes(soil), dtype=np.float32)
    for place, (matrix, labels, weights) in _shares(pages, workers):
        given: dict[str, NDArray[Any]] = {"data": matrix, "label": labels}
        if soil.model.weight is not None:
            given["weight"] = weights
        if validation:
            matrix[matrix > highest] = np.nan  # as boost._PageReader does
            given["base_margin"] = np.full(len(labels), base_margin(soil), dtype=np.float32)
        yield place, given


def _shares(pages: Pages, workers: int) -> Iterator[tuple[int, Encoded]]:
    """The rows in their order, cut so that each worker gets as many as the others, but for one; it counts from 0."""
    ends = [pages.rows * place // workers for place in range(workers + 1)]
    done = 0
    for page in pages.pages:
        matrix, labels, weights = page.read()
        start = 0
        while start < len(labels):
            place = bisect_right(ends, done) - 1
            end = min(len(labels), start + ends[place + 1] - done)
            yield place, (matrix[start:end], labels[start:end], weights[start:end])
            start, done = end, done + end - start


class _Teller(TrainingCallback):
    """On the first worker: hands what Reporter tells over to the machine that trains."""

    def __init__(self, topic: str, rounds: int) -> None:
        super().__init__()
        self._topic, self._rounds = topic, rounds

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        if collective.get_rank() == 0:
            Reporter(self._tell, self._rounds).after_iteration(model, epoch, evals_log)
        return False

    def _tell(self, done: int, rounds: int, log_loss: float) -> None:
        get_worker().log_event(self._topic, [done, rounds, log_loss])
