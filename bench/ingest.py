"""S3LogIngest's decoder on 24 gzip files of impressions, JSON lines and TSV, beside others on the same files.

All write the same rows, as Parquet with zstd, which is looked at. The others check nothing: a bad line
would stop them or become nulls. The pipeline keeps good lines whatever the others are, tells each bad one by file and
line, refuses another hour's, and finds keys that stand twice.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from bench.measure import by_turns, cost, in_own_process, median
from bench.part import Figure, Measured, Sizes, alone, compared
from bench.peers import MissingPeerError, python_of
from bench.tsv import COLUMNS, FRACTIONS, NUMBERS, as_tsv
from dsp_pipeline.meter import Meter

DATA = Path(".cache/bench/ingest")
FIRST = datetime(2026, 11, 1, tzinfo=UTC)
THREADS, MEMORY_MB = 2, 300
SOURCES = {
    "json": (Path("dsp_pipeline/events/sources"), "simulator", "jsonl.gz"),
    "tsv": (Path(__file__).with_name("sources"), "columns", "tsv.gz"),
}
TARGETS = {"json": 1.1, "tsv": 1.05}
_FACTS = "count(*), sum(clearing_price_micros), sum(bid_floor_micros), sum(len(segments)), sum(placement_width)"
_FACTS += ", sum(epoch_ms(served_at)), count(DISTINCT impression_id), count(DISTINCT city)"


def logs(lines: int) -> Path:
    """A folder with a day of about so many impressions, in both forms; made if it is not there."""
    from dsp_pipeline.simulator.parameters import Simulation
    from dsp_pipeline.simulator.simulate import simulate

    folder = DATA / str(lines)
    if not (folder / "ready").exists():
        shutil.rmtree(folder, ignore_errors=True)
        simulate(
            Simulation(first=FIRST.date(), days=1, impressions_per_day=lines, seed=3, events=("impression", "click")),
            folder,
        )
        for file in files_of(folder, "json"):
            as_tsv(file, file.with_name(file.name.replace(".jsonl.gz", ".tsv.gz")))
        (folder / "ready").touch()
    return folder


def files_of(folder: Path, form: str, hours: int = 24) -> list[Path]:
    found = sorted((folder / "impression").glob(f"*/*.{SOURCES[form][2]}"))
    return [file for file in found if int(file.name[:2]) < hours]


def pipeline(form: str, folder: Path, out: Path) -> None:
    """Hour by hour, as 24 tasks of one worker do it."""
    decoder = _decoder(form)
    for hour in range(24):
        scratch = out / f"{hour:02}"
        scratch.mkdir()
        found = [file for file in files_of(folder, form) if int(file.name[:2]) == hour]
        decoder.decode("impression", FIRST + timedelta(hours=hour), [_raw_file(file) for file in found], scratch)


def at_once(form: str, folder: Path, out: Path, hours: int) -> None:
    """The first hours of the day as one."""
    files = [_raw_file(file) for file in files_of(folder, form, hours)]
    _decoder(form).decode("impression", FIRST, files, out, hours=hours)


def _decoder(form: str) -> Any:
    from dsp_pipeline.events.decode import Decoder
    from dsp_pipeline.events.source import load_source

    sources, name, _ = SOURCES[form]
    return Decoder(load_source(sources, name), memory_limit_mb=MEMORY_MB, threads=THREADS)


def _raw_file(path: Path) -> Any:
    from dsp_pipeline.events.lines import RawFile

    return RawFile(str(path), lambda: path.open("rb"))


def bare(form: str, folder: Path, out: Path) -> None:
    """DuckDB's own readers, all files in one statement."""
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"SET TimeZone = 'UTC'; SET threads = {THREADS}; SET preserve_insertion_order = false")
    select = (_BARE_JSON if form == "json" else _BARE_TSV).format(files=[str(file) for file in files_of(folder, form)])
    connection.execute(f"COPY ({select}) TO '{out}/all.parquet' (FORMAT parquet, COMPRESSION zstd)")


def gunzip(form: str, folder: Path, out: Path) -> None:
    """The floor: nobody can read the lines without it."""
    subprocess.run(["gunzip", "-c", *map(str, files_of(folder, form))], stdout=subprocess.DEVNULL, check=True)


_BARE_JSON = r"""
    SELECT id AS impression_id, bid AS bid_id, ts AS served_at, "user".id AS user_id, "user".tags AS segments,
      ex AS exchange, slot.id AS placement_id, regexp_extract(slot.size, '(\d+)x\d+', 1)::BIGINT AS placement_width,
      regexp_extract(slot.size, '\d+x(\d+)', 1)::BIGINT AS placement_height, slot.vis AS placement_visibility,
      slot.fmt AS placement_format, slot.pos AS placement_position, page.site AS site_domain, page.url AS page_url,
      "user".ua AS user_agent, "user".ip AS ip_prefix, "user".geo.cc AS country, "user".geo.reg AS region,
      "user".geo.city AS city, "user".lang AS language, slot.floor * 10 AS bid_floor_micros, 'CNY' AS currency,
      ad.adv AS advertiser_id, ad.cmp AS campaign_id, ad.cr AS creative_id, price.bid * 10 AS bid_price_micros,
      rule.name AS policy, rule.arm AS arm, rule.prob AS propensity, pctr AS predicted_click_rate,
      rule.model AS model_version, price.paid * 10 AS clearing_price_micros
    FROM read_json({files}, format = 'newline_delimited', compression = 'gzip', columns = {{
      id: 'VARCHAR', bid: 'VARCHAR', ts: 'TIMESTAMPTZ', ex: 'VARCHAR', pctr: 'DOUBLE',
      "user": 'STRUCT(id VARCHAR, tags VARCHAR[], ua VARCHAR, lang VARCHAR, ip VARCHAR,
                      geo STRUCT(cc VARCHAR, reg VARCHAR, city VARCHAR))',
      slot: 'STRUCT(id VARCHAR, size VARCHAR, vis VARCHAR, fmt VARCHAR, pos BIGINT, floor BIGINT)',
      page: 'STRUCT(site VARCHAR, url VARCHAR)', ad: 'STRUCT(adv VARCHAR, cmp VARCHAR, cr VARCHAR)',
      rule: 'STRUCT(name VARCHAR, arm VARCHAR, prob DOUBLE, model VARCHAR)', price: 'STRUCT(bid BIGINT, paid BIGINT)'
    }})"""
_TYPES = dict.fromkeys(NUMBERS, "BIGINT") | dict.fromkeys(FRACTIONS, "DOUBLE") | {"ts": "TIMESTAMPTZ"}
_BARE_TSV = (
    r"""
    SELECT id AS impression_id, bid AS bid_id, ts AS served_at, "user" AS user_id,
      coalesce(string_split(tags, ','), []) AS segments, exchange, slot AS placement_id,
      regexp_extract(size, '(\d+)x\d+', 1)::BIGINT AS placement_width,
      regexp_extract(size, '\d+x(\d+)', 1)::BIGINT AS placement_height, visibility AS placement_visibility,
      format AS placement_format, position AS placement_position, site AS site_domain, url AS page_url,
      ua AS user_agent, ip AS ip_prefix, country, region, city, lang AS language, floor * 10 AS bid_floor_micros,
      'CNY' AS currency, advertiser AS advertiser_id, campaign AS campaign_id, creative AS creative_id,
      price * 10 AS bid_price_micros, policy, arm, propensity, pctr AS predicted_click_rate, model AS model_version,
      paid * 10 AS clearing_price_micros
    FROM read_csv({files}, delim = '\t', header = false, quote = '', escape = '', auto_detect = false,
      compression = 'gzip', columns = """
    + str({name: _TYPES.get(name, "VARCHAR") for name in COLUMNS}).replace("{", "{{").replace("}", "}}")
    + ")"
)

CONTENDERS: dict[str, Callable[[str, Path, Path], None]] = {"pipeline": pipeline, "DuckDB bare": bare, "gunzip": gunzip}


def measure(sizes: Sizes) -> Measured:
    figures, all_runs = [], {}
    for form in SOURCES:
        folder = logs(sizes.lines)
        cases, missing = {name: partial(_run, form, folder, name) for name in CONTENDERS}, {}
        for peer in ("polars", "pandas", "pyarrow"):
            try:
                cases[peer] = partial(_run, form, folder, peer, python_of(peer))
            except MissingPeerError as error:
                missing[peer] = str(error)
        runs = by_turns(cases, sizes.times)
        _same_rows(form, runs)
        fastest = min(
            (name for name in cases if name not in ("pipeline", "gunzip")),
            key=lambda name: median(runs[name], "cpu_seconds"),
        )
        for name in cases:
            if name == "pipeline":
                for beside in dict.fromkeys(("DuckDB bare", fastest)):
                    figures.append(compared(runs, name, beside, target=TARGETS[form], about=f"{form}: "))
                figures.append(compared(runs, name, "DuckDB bare", "seconds", about=f"{form}: "))
            elif name == "DuckDB bare":
                figures.append(alone(runs, name, f"{form}: "))
            else:
                figures.append(compared(runs, name, "DuckDB bare", about=f"{form}: "))
        figures += [Figure(f"{form}: {peer}", skipped=why) for peer, why in missing.items()]
        all_runs[form] = runs
    return Measured(figures, {"lines": sizes.lines, **all_runs})


def _same_rows(form: str, runs: dict[str, list[dict[str, Any]]]) -> None:
    """What a contender wrote must be what the pipeline wrote: speed at something else is no measure."""
    for name, found in runs.items():
        for one in found:
            if name != "gunzip" and one["facts"] != runs["pipeline"][0]["facts"]:
                ours = runs["pipeline"][0]["facts"]
                raise AssertionError(f"{form}: {name} wrote other rows ({one['facts']}) than the pipeline ({ours}).")


def _run(form: str, folder: Path, name: str, python: str | None = None) -> dict[str, Any]:
    """One run into a folder of its own, which is looked at and removed."""
    import duckdb

    out = DATA / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    if python:
        files = [str(file) for file in files_of(folder, form)]
        found = in_own_process(f"bench.peers.{name}_ingest", [str(out), *files], python)
    else:
        found = in_own_process(
            "bench.ingest", ["--one", name, "--form", form, "--logs", str(folder), "--out", str(out)]
        )
    if name != "gunzip":
        (facts,) = duckdb.execute(f"SELECT {_FACTS} FROM read_parquet('{out}/**/*.parquet')").fetchall()
        found["facts"] = [int(fact) for fact in facts]
    shutil.rmtree(out)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """One contender, in the process that measures it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", choices=tuple(CONTENDERS), required=True)
    parser.add_argument("--form", choices=tuple(SOURCES), required=True)
    parser.add_argument("--logs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hours", type=int, help="the first hours of the day as one (the pipeline only)")
    options = parser.parse_args(arguments)
    meter = Meter()
    if options.hours:
        at_once(options.form, options.logs, options.out, options.hours)
    else:
        CONTENDERS[options.one](options.form, options.logs, options.out)
    found = cost(meter)
    if options.one == "gunzip":  # another program's
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.update(cpu_seconds=used.ru_utime + used.ru_stime, peak_bytes=used.ru_maxrss * 1024)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
