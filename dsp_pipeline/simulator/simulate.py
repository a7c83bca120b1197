"""From parameters to a folder of logs.

A worker writes bid, win, impression and truth of one hour, and hands back the clicks and conversions that its
impressions lead to. They are kept until the hour in which they happen has been drawn, then written: at most a week of
them, since none comes later than that. Each hour depends on (seed, hour) alone, so workers share nothing.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing import get_context, parent_process
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dsp_pipeline.errors import SettingsError
from dsp_pipeline.simulator import logs, truth
from dsp_pipeline.simulator.faults import damage
from dsp_pipeline.simulator.files import (
    ASIDE,
    LATE,
    OF_BIDS,
    OF_IMPRESSIONS,
    ON_TIME,
    GzipLog,
    aside,
    hour_path,
    log_path,
)
from dsp_pipeline.simulator.manifest import HourCounts, Manifest, claim, utc_hour
from dsp_pipeline.simulator.market import REQUESTS, Levels, calibrate
from dsp_pipeline.simulator.parameters import EVENT_NAMES, Simulation
from dsp_pipeline.simulator.text import as_list
from dsp_pipeline.simulator.traffic import HOUR_MS, Chunk, chunks_of, draw_chunk, stream
from dsp_pipeline.simulator.world import Ints, World, build_world

Progress = Callable[[int, int], None]  # (hours done, hours in all)
Lines = list[tuple[int, bytes]]  # (epoch ms, line)

OUTCOMES = ("click", "conversion")


@dataclass
class Drawn:
    """What a worker hands back: counts of the logs that it wrote, and outcomes by the hour in which they happen."""

    counts: HourCounts
    outcomes: dict[str, dict[int, Lines]] = field(default_factory=lambda: {event: {} for event in OUTCOMES})


def simulate(simulation: Simulation, out: Path, progress: Progress | None = None, workers: int = 2) -> Manifest:
    """Write the logs of `simulation` to the folder `out`; the manifest says what is in them.

    A folder that is whole already is left as it is. After an interruption call again: every file is written anew, with
    the same bytes. With `workers` > 1 a script must call this under `if __name__ == "__main__":`, since processes are
    spawned. SettingsError when `out` holds another simulation.
    """
    if workers < 1:
        raise SettingsError(f"workers is {workers}: give at least 1.")
    whole = claim(simulation, out)
    if whole is not None:
        return whole
    hours = range(simulation.first_hour, simulation.first_hour + simulation.hours)
    waiting: dict[str, defaultdict[int, Lines]] = {event: defaultdict(list) for event in OUTCOMES}
    counts = []
    with _results(simulation, out, hours, workers) as results:
        for done, (hour, drawn) in enumerate(zip(hours, results, strict=True), start=1):
            for event in OUTCOMES:
                for later, lines in drawn.outcomes[event].items():
                    waiting[event][later].extend(lines)
                lines = sorted(waiting[event].pop(hour, []))
                if event in simulation.events:
                    ready = pa.array([line for _, line in lines], pa.binary())
                    _write_logs(simulation, out, hour, iter([{event: ready}]), (event,), drawn.counts)
            counts.append(drawn.counts)
            if progress is not None:
                progress(done, len(hours))
    manifest = Manifest(simulation.as_json(), tuple(counts))
    shutil.rmtree(out / ASIDE, ignore_errors=True)
    manifest.write(out)
    shutil.rmtree(out / ASIDE, ignore_errors=True)
    return manifest


@contextmanager
def _results(simulation: Simulation, out: Path, hours: range, workers: int) -> Iterator[Iterator[Drawn]]:
    """The hours' results in order; a few hours are ahead, never all."""
    if workers == 1:
        yield (_draw_hour(simulation, out, hour) for hour in hours)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_end_with_parent) as pool:

        def results() -> Iterator[Drawn]:
            running: list[Future[Drawn]] = []
            for hour in hours:
                running.append(pool.submit(_draw_hour, simulation, out, hour))
                if len(running) > 2 * workers:
                    yield running.pop(0).result()
            while running:
                yield running.pop(0).result()

        try:
            yield results()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _end_with_parent() -> None:
    """End this worker when its parent is killed, so that none writes on while the call is repeated."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@lru_cache(maxsize=1)
def made_world(seed: int, impressions_per_day: int, requests: int = REQUESTS) -> tuple[World, Levels, logs.Pieces]:
    """What is there before the first hour; made once a process. Its levels are found on so many requests."""
    world = build_world(seed, impressions_per_day)
    levels = calibrate(world, seed, requests)
    return world, levels, logs.make_pieces(world, levels)


def _draw_hour(simulation: Simulation, out: Path, hour: int) -> Drawn:
    world, levels, pieces = made_world(simulation.seed, simulation.impressions_per_day)
    drawn = Drawn(HourCounts(utc_hour(hour)))
    makers = {"bid": logs.bid_lines, "win": logs.win_lines, "impression": logs.impression_lines}
    events = tuple(event for event in makers if event in simulation.events)

    def chunks() -> Iterator[dict[str, pa.BinaryArray]]:
        with ExitStack() as stack:
            shown = _truth(stack, out, OF_IMPRESSIONS, hour, truth.IMPRESSIONS)
            bids = _truth(stack, out, OF_BIDS, hour, truth.BIDS) if "bid" in events else None
            for number in range(chunks_of(simulation, hour)):
                chunk = draw_chunk(simulation, world, levels, hour, number)
                shown.write_table(truth.of_impressions(simulation, chunk))
                if bids is not None:
                    bids.write_table(truth.of_bids(simulation, world, levels, chunk))
                for event, later, ms, line in outcomes(simulation, pieces, chunk):
                    drawn.outcomes[event].setdefault(later, []).append((ms, line))
                yield {event: makers[event](simulation, pieces, chunk) for event in events}

    _write_logs(simulation, out, hour, chunks(), events, drawn.counts)
    return drawn


def _truth(stack: ExitStack, out: Path, folder: str, hour: int, schema: pa.Schema) -> pq.ParquetWriter:
    """Where an hour's true probabilities are written; in place when the stack is left."""
    path = stack.enter_context(aside(out, hour_path(out / folder, hour, ".parquet")))
    return stack.enter_context(pq.ParquetWriter(path, schema))


def _write_logs(
    simulation: Simulation,
    out: Path,
    hour: int,
    chunks: Iterator[dict[str, pa.BinaryArray]],
    events: tuple[str, ...],
    counts: HourCounts,
) -> None:
    """Write the hour's files of `events` from chunks of good lines; adds faults and counts."""
    faults, since = simulation.faults, hour - simulation.first_hour
    chance = {event: stream(simulation, hour, 1, EVENT_NAMES.index(event)) for event in events}
    late = {event: bool(chance[event].random() < faults.late_files) for event in events}
    found: dict[str, Counter[str]] = {event: Counter() for event in events}
    counts.rows.update(dict.fromkeys(events, 0))
    counts.late.update(dict.fromkeys(events, 0))
    with ExitStack() as stack:

        def open_log(event: str, number: int) -> GzipLog:
            return GzipLog(stack.enter_context(aside(out, log_path(out, event, hour, number))))

        now = {event: open_log(event, ON_TIME) for event in events}
        later: dict[str, GzipLog] = {}
        for chunk in chunks:
            for event, lines in chunk.items():
                damaged = damage(event, lines, faults, late[event], chance[event])
                now[event].write(damaged.now)
                counts.rows[event] += len(lines)
                counts.late[event] += len(damaged.late)
                found[event].update(damaged.faults)
                if len(damaged.late):
                    if event not in later:
                        later[event] = open_log(event, LATE)
                    later[event].write(damaged.late)
        for event in events:
            now[event].close(truncate=(event, since) in faults.truncated_files)
            if event in later:
                later[event].close()
            counts.faults[event] = dict(sorted(found[event].items()))


def outcomes(simulation: Simulation, pieces: logs.Pieces, chunk: Chunk) -> Iterator[tuple[str, int, int, bytes]]:
    """(event, hour, epoch ms, line) of the chunk's clicks and conversions; those after the last hour are left out."""
    if not len(chunk.click):
        return
    clicks, conversions = logs.click_lines(simulation, chunk), logs.conversion_lines(simulation, pieces, chunk)
    ends = simulation.first_hour + simulation.hours
    made: tuple[tuple[str, Ints, pa.BinaryArray], ...] = (
        ("click", chunk.click_at, clicks),
        ("conversion", chunk.conversion_at, conversions),
    )
    for event, at, lines in made:
        for ms, line in zip(at.tolist(), as_list(lines), strict=True):
            if ms // HOUR_MS < ends:
                yield event, ms // HOUR_MS, ms, line
