"""What models learned of simulated logs against the probabilities that the logs were drawn from.

    python -m bench.truth --lake lake --raw raw/simulator

For each training in the lake: its log loss on the held-out day beside that of the true probabilities, and predicted
over observed, overall and in each slice with more than 1,000 positives. What was observed is noisy itself, by about
1/√positives, so predicted over true, which is not, stands beside it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
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
_LOSS = "-avg(CASE WHEN label = 1 THEN ln({0}) ELSE ln(1 - {0}) END)"
_NO_SLICE = {"label", "score", "margin", "baseline", "weight", "unit", "true_probability"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lake", type=Path, required=True, help="folder of a lake in mode local")
    parser.add_argument("--raw", type=Path, required=True, help="folder that the simulator wrote, with truth/ in it")
    options = parser.parse_args()
    found = [compared(options.lake, options.raw, receipt) for receipt in trainings(options.lake)]
    if not found:
        raise SystemExit(f"{options.lake} holds no trained model; run the pipeline first.")
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
        "address": receipt.address,
        "model": f"{one['name']} of {one['experiment']}/{one['arm']}",
        "date": one["date"],
        **_sums(connection),
        "slices": list(_slices(connection, key)),
    }


def _sums(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    names = ("rows", "positives", "log_loss", "true_log_loss", "predicted_to_observed", "predicted_to_true")
    values = _one(
        connection,
        f"SELECT count(*), sum(label), {_LOSS.format('score')}, {_LOSS.format('true_probability')}, "
        "sum(score) / sum(label), sum(score) / sum(true_probability) FROM rows",
    )
    return dict(zip(names, values, strict=True))


def _slices(connection: duckdb.DuckDBPyConnection, key: str) -> Iterator[dict[str, Any]]:
    names = ("column", "value", "positives", "predicted_to_observed", "predicted_to_true")
    for column in _columns(connection, "rows"):
        if column != key and column not in _NO_SLICE:
            found = connection.execute(
                f"SELECT '{column}', {column}::VARCHAR, sum(label), sum(score) / sum(label), "
                f"sum(score) / sum(true_probability) FROM rows GROUP BY {column} "
                f"HAVING sum(label) > {FEWEST_POSITIVES} ORDER BY 3 DESC"
            )
            for row in found.fetchall():
                yield dict(zip(names, row, strict=True))


def tell(found: list[dict[str, Any]]) -> None:
    shown = []
    for one in found:
        loss = one["log_loss"] / one["true_log_loss"]
        ratio = one["predicted_to_observed"]
        slices = one["slices"]
        worst = max(slices, key=lambda part: abs(part["predicted_to_observed"] - 1), default=None)
        shown.append(
            [
                f"{one['model']} {one['date']}",
                f"{one['rows']:,}",
                f"{one['positives']:,}",
                _told(loss, LOSS_BOUND, above_only=True),
                _told(ratio, OVERALL_BOUND),
                f"{one['predicted_to_true']:.4f}",
                f"{len(slices)}",
                f"{_told(worst['predicted_to_observed'], SLICE_BOUND)} {worst['column']}={worst['value']}"
                if worst
                else "",
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
