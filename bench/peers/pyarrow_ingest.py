"""Impressions as raw logs → Parquet, as a user of pyarrow would: `python -m bench.peers.pyarrow_ingest OUT FILE …`"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bench.measure import cost
from bench.tsv import COLUMNS, FRACTIONS, NUMBERS, ORIGINS, OURS
from dsp_pipeline.meter import Meter


def json_lines(file: str) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow.json import ParseOptions, read_json

    text, whole, real = pa.string(), pa.int64(), pa.float64()

    def texts(*names: str) -> list[tuple[str, Any]]:
        return [(name, text) for name in names]

    geo = pa.struct(texts("cc", "reg", "city"))
    schema = pa.schema(
        [
            *texts("id", "bid", "ts", "ex"),
            ("user", pa.struct([*texts("id", "ua", "lang", "ip"), ("tags", pa.list_(text)), ("geo", geo)])),
            ("slot", pa.struct([*texts("id", "size", "vis", "fmt"), ("pos", whole), ("floor", whole)])),
            ("page", pa.struct(texts("site", "url"))),
            ("ad", pa.struct(texts("adv", "cmp", "cr"))),
            ("rule", pa.struct([*texts("name", "arm", "model"), ("prob", real)])),
            ("price", pa.struct([("bid", whole), ("paid", whole)])),
            ("pctr", real),
        ]
    )
    with pa.input_stream(file, compression="gzip") as stream:
        rows = read_json(stream, parse_options=ParseOptions(explicit_schema=schema))
    origins = {name: origin.split(".") for name, origin in ORIGINS.items()}
    return pa.table(
        {name: pc.struct_field(rows[top], below) if below else rows[top] for name, (top, *below) in origins.items()}
    )


def columns(file: str) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow.csv import ConvertOptions, ParseOptions, ReadOptions, read_csv

    kinds = dict.fromkeys(NUMBERS, pa.int64()) | dict.fromkeys(FRACTIONS, pa.float64())
    rows = read_csv(
        file,
        read_options=ReadOptions(column_names=COLUMNS),
        parse_options=ParseOptions(delimiter="\t", quote_char=False),
        convert_options=ConvertOptions(column_types={name: kinds.get(name, pa.string()) for name in COLUMNS}),
    )
    tags = pc.split_pattern(rows["tags"], ",")
    return _with(rows, "tags", pc.if_else(pc.equal(rows["tags"], ""), pa.scalar([], tags.type), tags))


def _with(rows: Any, name: str, column: Any) -> Any:
    return rows.set_column(rows.column_names.index(name), name, column)


def main() -> None:
    meter = Meter()
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    out, *files = sys.argv[1:]
    for file in files:
        rows = columns(file) if file.endswith(".tsv.gz") else json_lines(file)
        rows = _with(rows, "ts", rows["ts"].cast(pa.timestamp("us", "UTC")))
        size = pc.extract_regex(rows["size"], r"(?P<width>\d+)x(?P<height>\d+)")
        for side in ("width", "height"):
            rows = rows.append_column(f"placement_{side}", pc.struct_field(size, side).cast(pa.int64()))
        for price in ("floor", "price", "paid"):
            rows = _with(rows, price, pc.multiply(rows[price], 10))
        rows = rows.drop_columns("size").append_column("currency", pa.repeat(pa.scalar("CNY"), len(rows)))
        rows = rows.rename_columns([OURS.get(name, name) for name in rows.column_names])
        pq.write_table(rows, Path(out) / f"{Path(file).name}.parquet", compression="zstd")
    print(json.dumps(cost(meter)))


if __name__ == "__main__":
    main()
