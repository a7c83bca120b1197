"""Impressions as raw logs → Parquet, as a user of pandas would: `python -m bench.peers.pandas_ingest OUT FILE …`"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

from bench.measure import cost
from bench.tsv import COLUMNS, FRACTIONS, NUMBERS, ORIGINS, OURS
from dsp_pipeline.meter import Meter


def json_lines(file: str) -> Any:
    """A column for each field of the lines, in the simulator's names."""
    import pandas as pd  # type: ignore[import-untyped]

    with gzip.open(file, "rt", encoding="utf-8") as lines:
        return pd.json_normalize([json.loads(line) for line in lines])


def impressions(rows: Any) -> Any:
    """Typed, in the names of the event; `rows` are in those of bench/tsv.py."""
    import pandas as pd

    rows["ts"] = pd.to_datetime(rows["ts"], format="ISO8601", utc=True).astype("datetime64[us, UTC]")
    size = rows["size"].str.extract(r"(?P<placement_width>\d+)x(?P<placement_height>\d+)").astype("int64")
    rows = rows.drop(columns="size").join(size)
    for price in ("floor", "price", "paid"):
        rows[price] *= 10
    rows["currency"] = "CNY"
    return rows.rename(columns=OURS)


def main() -> None:
    meter = Meter()
    import pandas as pd

    out, *files = sys.argv[1:]
    for file in files:
        if file.endswith(".tsv.gz"):
            kinds = dict.fromkeys(NUMBERS, "int64") | dict.fromkeys(FRACTIONS, "float64")
            types = {name: kinds.get(name, "str") for name in COLUMNS}
            rows = pd.read_csv(file, sep="\t", header=None, names=list(COLUMNS), dtype=types, keep_default_na=False)
            rows["tags"] = rows["tags"].map(lambda tags: tags.split(",") if tags else [])
        else:
            rows = json_lines(file).rename(columns={origin: name for name, origin in ORIGINS.items()})
        rows = impressions(rows)
        rows.to_parquet(Path(out) / f"{Path(file).name}.parquet", compression="zstd", index=False)
    print(json.dumps(cost(meter)))


if __name__ == "__main__":
    main()
