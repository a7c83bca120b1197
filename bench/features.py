"""FeatureBuild of all tables behind `click_rate`, beside the same translated SQL typed into DuckDB.

Both build one day after the other, each table from the same Parquet files, on as many threads. The pipeline adds an
order by key, the look for keys that stand twice, a checksum, a receipt, and a bound on memory.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

from bench.measure import by_turns, cost, in_own_process
from bench.part import Measured, Sizes, alone, compared
from dsp_pipeline.meter import Meter
from dsp_pipeline.platform import Platform
from dsp_pipeline.receipts import Draft
from dsp_pipeline.settings import Settings
from dsp_pipeline.sql.query import Query
from dsp_pipeline.sql.translate import prepare, to_duckdb
from dsp_pipeline.warehouse.base import Table
from dsp_pipeline.warehouse.duckdb import DuckDBWarehouse

DATA = Path(".cache/bench/features")
FIRST, DAYS, TABLE = date(2026, 11, 1), 2, "click_rate"
THREADS, MEMORY_MB = 2, 600


def measure(sizes: Sizes) -> Measured:
    folder = warehouse_of(sizes.impressions)
    runs = by_turns({name: partial(run, name, folder) for name in ("pipeline", "DuckDB bare")}, sizes.times)
    if (ours := runs["pipeline"][0]["rows"]) != (theirs := runs["DuckDB bare"][0]["rows"]):
        raise AssertionError(f"DuckDB built other tables ({theirs}) than the pipeline ({ours}).")
    figures = [
        compared(runs, "pipeline", "DuckDB bare", target=1.05),
        compared(runs, "pipeline", "DuckDB bare", "seconds", target=1.2),
        compared(runs, "pipeline", "DuckDB bare", "peak_bytes"),
        alone(runs, "DuckDB bare"),
    ]
    return Measured(figures, {"impressions": DAYS * sizes.impressions, **runs})


def warehouse_of(impressions: int) -> Path:
    """A folder with a lake into which days of about so many impressions are loaded, each; made if it is not there."""
    from dsp_pipeline.simulator.parameters import Simulation
    from dsp_pipeline.simulator.simulate import simulate

    folder = DATA / str(impressions)
    if (folder / "ready").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    simulate(
        Simulation(first=FIRST, days=DAYS, impressions_per_day=impressions, seed=5, events=("impression", "click")),
        folder / "raw",
    )
    platform = _platform(folder)
    for event in ("impression", "click"):
        table = platform.table(event)
        for hour in (datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC) + timedelta(hours=n) for n in _hours()):
            files = [file for _, file in platform.raw_files(event, hour)]
            partition = f"{hour:%Y-%m-%dT%H}"
            draft = Draft(f"{table.address}/{partition}", table.version)
            with platform.scratch() as scratch:
                decoded = platform.decoder.decode(event, hour, files, scratch)
                with decoded.events.open("rb") as rows:
                    platform.warehouse.load(table, partition, [rows], draft)
    shutil.rmtree(folder / "raw")
    (folder / "statements.json").write_text(json.dumps(_statements(folder)), encoding="utf-8")
    (folder / "ready").touch()
    return folder


def _statements(folder: Path) -> list[tuple[str, str, str]]:
    """Table, day and translated SQL of each build; what they read of each other is built beside them, and stays."""
    platform = _platform(folder, _linked(folder, "built"))
    warehouse = cast(DuckDBWarehouse, platform.warehouse)
    found = []
    for table, day in _builds(platform):
        slices = platform.slices(table, day)
        bound = warehouse._bound(cast(Query, table.definition), slices)
        found.append((table.name, day.isoformat(), to_duckdb(bound)))
        warehouse.build(table, day, slices, Draft(f"{table.address}/{day}", table.version))
    return found


def _linked(folder: Path, name: str) -> str:
    """Another lake with the same events, which takes no room."""
    shutil.rmtree(folder / name, ignore_errors=True)
    shutil.copytree(folder / "lake", folder / name, copy_function=os.link)
    return name


def run(name: str, folder: Path) -> dict[str, Any]:
    """What a contender spent on all tables of a folder of `warehouse_of`."""
    _linked(folder, "run")
    shutil.rmtree(folder / "bare", ignore_errors=True)
    found = in_own_process("bench.features", ["--one", name, "--folder", str(folder)])
    shutil.rmtree(folder / "run")
    shutil.rmtree(folder / "bare", ignore_errors=True)
    return found


def _hours() -> range:
    return range(24 * (DAYS + 1))  # clicks of the day after make a day whole; there are none


def _platform(folder: Path, lake: str = "lake") -> Platform:
    return Platform(
        Settings(
            mode="local",
            environment="bench",
            lake=str(folder / lake),
            raw=str(folder / "raw"),
            scratch=folder / "scratch",
            source="simulator",
            first_date=FIRST,
            memory_limit_mb=MEMORY_MB,
            threads=THREADS,
        )
    )


def _builds(platform: Platform) -> list[tuple[Table, date]]:
    """What there is to build, each after what it reads."""
    found: dict[tuple[str, date], Table] = {}

    def need(table: Table, day: date) -> None:
        for slice_ in platform.slices(table, day).values():
            if slice_.table.name not in platform.source.events:
                for partition in slice_.partitions:
                    need(slice_.table, date.fromisoformat(partition))
        found[table.name, day] = table

    need(platform.table(TABLE), FIRST + timedelta(days=DAYS - 1))
    return [(table, day) for (_, day), table in found.items()]


def pipeline(folder: Path) -> dict[str, int]:
    """As a worker does it, task after task."""
    platform, rows = _platform(folder, "run"), {}
    for table, day in _builds(platform):
        draft = Draft(f"{table.address}/{day}", table.version)
        rows[f"{table.name} {day}"] = platform.warehouse.build(table, day, platform.slices(table, day), draft).rows
    return rows


def bare(folder: Path) -> dict[str, int]:
    """The statements of `statements`, on DuckDB as it comes, with the functions that they call."""
    import duckdb

    connection, rows = duckdb.connect(), {}
    (folder / "bare").mkdir()
    connection.execute(f"SET threads = {THREADS}; SET preserve_insertion_order = false")
    prepare(connection)
    for name, day, select in json.loads((folder / "statements.json").read_text(encoding="utf-8")):
        out = f"{folder}/bare/{name} {day}.parquet"
        made = connection.execute(
            f"COPY (SELECT $date::DATE AS date, * FROM ({select})) TO '{out}' (FORMAT parquet, COMPRESSION zstd)",
            {"date": date.fromisoformat(day)},
        )
        rows[f"{name} {day}"] = int(made.fetchall()[0][0])
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """One contender, in the process that measures it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", choices=tuple(CONTENDERS), required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args(arguments)
    meter = Meter()
    rows = CONTENDERS[options.one](options.folder)
    print(json.dumps({**cost(meter), "rows": rows}))


CONTENDERS = {"pipeline": pipeline, "DuckDB bare": bare}


if __name__ == "__main__":
    main()
