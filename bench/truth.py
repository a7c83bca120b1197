"""What models learned of simulated logs against the probabilities that the logs were drawn from.

    python -m bench.truth --lake lake --raw raw/simulator

For each training in the lake, and for all days of an arm together: its log loss on the held-out day beside that of
the true probabilities, and predicted over observed, overall and in each slice with more than 1,000 positives. What was
observed is noisy itself, by about 1/√positives, so predicted over true, which is not, stands beside it. A day's
calibration is as noisy as the clicks of the day that it was fitted on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from bench.measure import keep, table
from dsp_pipeline.receipts import Receipt
from dsp_pipeline.simulator.truth import known
from dsp_pipeline.storage.local import LocalFolder
from dsp_pipeline.storage.outputs import Outputs

LOSS_BOUND, OVERALL_BOUND, SLICE_BOUND = 0.02, 0.02, 0.10
FEWEST_POSITIVES = 1_000
_LOSS = "-sum(CASE WHEN label = 1 THEN ln({0}) ELSE ln(1 - {0}) END)"
_SUMS = {
    "rows": "count(*)",
    "positives": "sum(label)",
    "predicted": "sum(score)",
    "true": "sum(true_probability)",
    "loss": _LOSS.format("score"),
    "true_loss": _LOSS.format("true_probability"),
}
_NO_SLICE = {"label", "score", "margin", "baseline", "weight", "unit", "true_probability"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lake", type=Path, required=True, help="folder of a lake in mode local")
    parser.add_argument("--raw", type=Path, required=True, help="folder that the simulator wrote, with truth/ in it")
    options = parser.parse_args()
    found = [compared(options.lake, options.raw, receipt) for receipt in trainings(options.lake)]
    if not found:
        raise SystemExit(f"{options.lake} holds no trained model; run the pipeline first.")
    found += pooled(found)
    tell(found)
    print(f"\nkept in {keep('truth', {'trainings': found})}")


def trainings(lake: Path) -> Iterator[Receipt]:
    book = Outputs(LocalFolder(lake)).receipts
    for address in sorted(book.addresses("train/")):
        yield book.read(address)


def compared(lake: Path, raw: Path, receipt: Receipt) -> dict[str, Any]:
    """The numbers of one training."""
    paths = {file.key.rpartition("/")[2]: lake / file.key for file in receipt.files}
    one = json.loads(paths["metrics.json"].read_text(encoding="utf-8"))["model"]
    connection = duckdb.connect()
    connection.execute(f"CREATE TABLE scored AS FROM read_parquet('{paths['scores.parquet']}')")
    key, truth = known(raw, one["name"], date.fromisoformat(one["date"]))
    connection.register("truth", truth)
    connection.execute(
        "CREATE TABLE rows AS SELECT scored.*, truth.probability AS true_probability "
        f"FROM scored JOIN truth USING ({key})"
    )
    (unknown,) = _one(connection, "SELECT (SELECT count(*) FROM scored) - (SELECT count(*) FROM rows)")
    if unknown:
        raise SystemExit(
            f"{unknown} rows of {receipt.address} are not in the truth of {raw}; give the logs that it read."
        )
    return {
        "arm": f"{one['experiment']}/{one['arm']}",
        "date": one["date"],
        "overall": _sums(connection, "")[""],
        "slices": {
            column: _sums(connection, column)
            for column in _columns(connection, "rows")
            if column != key and column not in _NO_SLICE
        },
    }


def pooled(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All days of each arm that has several, as one."""
    made = []
    for arm in dict.fromkeys(one["arm"] for one in found):
        days = [one for one in found if one["arm"] == arm]
        if len(days) > 1:
            slices = {
                column: {
                    value: _added([one["slices"][column].get(value, {}) for one in days])
                    for value in dict.fromkeys(value for one in days for value in one["slices"][column])
                }
                for column in days[0]["slices"]
            }
            overall = _added([one["overall"] for one in days])
            made.append({"arm": arm, "date": f"{len(days)} days", "overall": overall, "slices": slices})
    return made


def _added(parts: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: sum(part.get(name, 0) for part in parts) for name in _SUMS}


def _sums(connection: duckdb.DuckDBPyConnection, column: str) -> dict[str, dict[str, float]]:
    """By the values of the column; with none, of all rows, under the empty text."""
    value = f"coalesce({column}::VARCHAR, '')" if column else "''"
    rows = connection.execute(f"SELECT {value}, {', '.join(_SUMS.values())} FROM rows GROUP BY 1 ORDER BY 2 DESC")
    return {value: dict(zip(_SUMS, sums, strict=True)) for value, *sums in rows.fetchall()}


def tell(found: list[dict[str, Any]]) -> None:
    shown = []
    for one in found:
        whole = one["overall"]
        large = {
            f"{column}={value}": sums["predicted"] / sums["positives"]
            for column, by_value in one["slices"].items()
            for value, sums in by_value.items()
            if sums["positives"] > FEWEST_POSITIVES
        }
        worst = max(large, key=lambda name: abs(large[name] - 1), default=None)
        shown.append(
            [
                f"{one['arm']} {one['date']}",
                f"{whole['rows']:,}",
                f"{whole['positives']:,}",
                _told(whole["loss"] / whole["true_loss"], LOSS_BOUND, above_only=True),
                _told(whole["predicted"] / whole["positives"], OVERALL_BOUND),
                f"{whole['predicted'] / whole['true']:.4f}",
                f"{len(large)}",
                f"{worst} {_told(large[worst], SLICE_BOUND)}" if worst else "",
            ]
        )
    head = ["", "rows", "positives", "log loss / true", "predicted / observed", "/ true", "slices", "worst slice"]
    print(table(head, shown))
    print("✗ marks what is outside of its bound: 2 % for log loss and overall, 10 % in a slice.")


def _told(ratio: float, bound: float, *, above_only: bool = False) -> str:
    outside = ratio - 1 > bound if above_only else abs(ratio - 1) > bound
    return f"{ratio:.4f} {'✗' if outside else '✓'}"


def _columns(connection: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    return [str(row[0]) for row in connection.execute(f"DESCRIBE {name}").fetchall()]


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    (row,) = connection.execute(query).fetchall()
    return tuple(row)


if __name__ == "__main__":
    main()
