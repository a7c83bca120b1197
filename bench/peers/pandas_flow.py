"""Raw logs → a click model, as most teams would write it: a Prefect flow of pandas, Parquet and XGBoost.

python -m bench.peers.pandas_flow RAW OUT FIRST HELD_OUT      # PREFECT_API_URL names the server

It learns from the days from FIRST on, is stopped on the day before HELD_OUT, and is judged on HELD_OUT.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import xgboost
from prefect import flow, task  # type: ignore[import-not-found]
from prefect.task_runners import ThreadPoolTaskRunner  # type: ignore[import-not-found]
from sklearn.metrics import log_loss, roc_auc_score

from bench.peers.pandas_features import COUNTED, DAY, HISTORY, daily_counts, rates, training_table
from bench.peers.pandas_ingest import impressions, json_lines
from bench.tsv import ORIGINS

HISTORY_DAYS = 14
RATES = ["overall_click_rate", "segment_click_lift", *(f"{name}_click_rate" for name in COUNTED)]
CATEGORIES = ["advertiser_id", "exchange", "region", "visibility", "format", "size", "device_code"]
FEATURES = [
    "hour_of_day",
    "floor_micros",
    "position",
    "segment_count",
    "advertiser_id",
    "exchange",
    "region",
    "visibility",
    "format",
    "size",
    "device_code",
    "campaign_click_rate_14d",
    "creative_click_rate_14d",
    "placement_click_rate_14d",
    "site_click_rate_14d",
    "user_click_rate_14d",
    "user_impressions_1d",
    "user_impressions_7d",
    "user_days_since_seen",
    "user_days_since_clicked",
    "segments_log_lift_14d",
    "segments_highest_log_lift_14d",
    "combined_click_rate_14d",
]
NEGATIVE_SHARE = 0.5  # of the training days
ROUNDS, STOPPING_ROUNDS, SEED, MAX_BIN = 300, 20, 1, 256
PARAMETERS = {
    "eta": 0.1,
    "max_depth": 3,
    "min_child_weight": 20,
    "lambda": 20,
    "max_cat_threshold": 16,
    "colsample_bytree": 0.5,
    "objective": "binary:logistic",
    "eval_metric": "logloss",
    "tree_method": "hist",
    "max_bin": MAX_BIN,
    "nthread": 2,
    "seed": SEED,
}
COUNTED_COLUMNS = ["impression_id", "served_at", "advertiser_id", "segments", *COUNTED.values()]
TRAINING_COLUMNS = [
    "exchange",
    "region",
    "city",
    "user_agent",
    "placement_visibility",
    "placement_format",
    "placement_width",
    "placement_height",
    "bid_floor_micros",
    "placement_position",
]


@task
def ingest(raw: Path, out: Path, event: str, hour: pd.Timestamp) -> None:
    rows = pd.concat(
        [json_lines(str(file)) for file in sorted((raw / event / f"{hour:%Y-%m-%d}").glob(f"{hour:%H}-*"))]
    )
    if event == "impression":
        rows = impressions(rows.rename(columns={origin: name for name, origin in ORIGINS.items()}))
    else:
        rows = rows.reindex(columns=["id", "imp", "t"]).astype({"id": "str", "imp": "str", "t": "int64"})
        rows["t"] = pd.to_datetime(rows["t"], unit="ms", utc=True).astype("datetime64[us, UTC]")
        rows = rows.rename(columns={"id": "click_id", "imp": "impression_id", "t": "clicked_at"})
    _write(rows, out / event / f"{hour:%Y-%m-%d}" / f"{hour:%H}.parquet")


@task
def count_day(out: Path, day: pd.Timestamp) -> None:
    """The daily tables of the day."""
    two_days = [day - DAY, day]
    made = daily_counts(_events(out, "impression", two_days, COUNTED_COLUMNS), _events(out, "click", two_days), day)
    for table, rows in made.items():
        _write(rows, _table(out, table, day))


@task
def rate_day(out: Path, day: pd.Timestamp) -> None:
    """What is known when the day begins."""
    history = {}
    for table, key in HISTORY.items():
        # An empty one first, so that there are columns where there is no day yet.
        kinds = {**dict.fromkeys(key, "str"), "impressions": "int64", "clicks": "int64", "date": "datetime64[us, UTC]"}
        found = [pd.DataFrame(columns=list(kinds)).astype(kinds)]
        for before in pd.date_range(day - HISTORY_DAYS * DAY, day - DAY):
            if (path := _table(out, table, before)).exists():
                found.append(pd.read_parquet(path).assign(date=before))
        history[table] = pd.concat(found)
    for table, rows in rates(history, day).items():
        _write(rows, _table(out, table, day))


@task
def join_day(out: Path, day: pd.Timestamp) -> None:
    """The training table of the day."""
    rows = training_table(
        _events(out, "impression", [day], [*COUNTED_COLUMNS, *TRAINING_COLUMNS]),
        _events(out, "click", [day, day + DAY]),
        {table: pd.read_parquet(_table(out, table, day)) for table in RATES},
    )
    _write(rows, _table(out, "click_rate", day))


@task
def train(out: Path, days: list[pd.Timestamp], validation: pd.Timestamp) -> None:
    rows = pd.concat([_training_rows(out, day) for day in days])
    drawn = np.random.default_rng(SEED).random(len(rows)) < NEGATIVE_SHARE
    rows = rows[rows["clicked"] | drawn]
    share = float(rows["clicked"].mean())
    words = {name: sorted(rows[name].unique().tolist()) for name in CATEGORIES}
    learned = xgboost.QuantileDMatrix(_matrix(rows, words), rows["clicked"], enable_categorical=True, max_bin=MAX_BIN)
    # Of the validation day all rows are there, so their margins begin lower.
    margin = math.log(share / (1 - share)) + math.log(NEGATIVE_SHARE)
    later = _training_rows(out, validation)
    watched = xgboost.QuantileDMatrix(
        _matrix(later, words),
        later["clicked"],
        base_margin=np.full(len(later), margin),
        ref=learned,
        enable_categorical=True,
        max_bin=MAX_BIN,
    )
    booster = xgboost.train(
        {**PARAMETERS, "base_score": share},
        learned,
        num_boost_round=ROUNDS,
        evals=[(learned, "train"), (watched, "validation")],
        verbose_eval=False,
        callbacks=[xgboost.callback.EarlyStopping(rounds=STOPPING_ROUNDS, data_name="validation", save_best=True)],
    )
    (out / "model").mkdir()
    booster.save_model(out / "model" / "model.ubj")
    found = {"features": FEATURES, "words": words, "base_margin": margin}
    (out / "model" / "features.json").write_text(json.dumps(found, indent=1))


@task
def evaluate(out: Path, day: pd.Timestamp) -> None:
    contract = json.loads((out / "model" / "features.json").read_text())
    booster = xgboost.Booster(model_file=out / "model" / "model.ubj")
    rows = _training_rows(out, day)
    margin = np.full(len(rows), contract["base_margin"])
    matrix = xgboost.DMatrix(_matrix(rows, contract["words"]), base_margin=margin, enable_categorical=True)
    scores = booster.predict(matrix)
    found = {
        "rows": len(rows),
        "positives": int(rows["clicked"].sum()),
        "log_loss": log_loss(rows["clicked"], scores, labels=[False, True]),
        "auc": roc_auc_score(rows["clicked"], scores),
        "trees": booster.num_boosted_rounds(),
    }
    (out / "model" / "metrics.json").write_text(json.dumps(found, indent=1))


@task
def export(out: Path, day: pd.Timestamp) -> None:
    """The bundle: the model, and what a bidder looks up on the day after the held-out one."""
    bundle = out / "bundle" / f"{day:%Y-%m-%d}"
    bundle.mkdir(parents=True)
    for name in ("model.ubj", "features.json", "metrics.json"):
        (bundle / name).write_bytes((out / "model" / name).read_bytes())
    for table in RATES:
        (bundle / f"{table}.parquet").write_bytes(_table(out, table, day + DAY).read_bytes())


@flow(name="click rate", task_runner=ThreadPoolTaskRunner(max_workers=2))
def click_model(raw: Path, out: Path, first: pd.Timestamp, held_out: pd.Timestamp) -> None:
    days = list(pd.date_range(first, held_out))
    events = {
        day: [
            ingest.submit(raw, out, event, hour)
            for event in (("impression", "click") if day in days else ("click",))
            for hour in pd.date_range(day, periods=24, freq="h")
        ]
        for day in [*days, held_out + DAY]
    }
    counted, rated, joined = [], [], []
    for day in days:
        counted.append(count_day.submit(out, day, wait_for=events[day] + events.get(day - DAY, [])))
    for place, day in enumerate([*days, held_out + DAY]):
        rated.append(rate_day.submit(out, day, wait_for=counted[:place]))
    for day, known in zip(days, rated, strict=False):
        joined.append(join_day.submit(out, day, wait_for=[known, *events[day], *events[day + DAY]]))
    trained = train.submit(out, days[:-2], days[-2], wait_for=joined)
    judged = evaluate.submit(out, held_out, wait_for=[trained])
    export.submit(out, held_out, wait_for=[judged, rated[-1]]).result()


def _write(rows: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(path, compression="zstd", index=False)


def _table(out: Path, table: str, day: pd.Timestamp) -> Path:
    return out / table / f"{day:%Y-%m-%d}.parquet"


def _events(out: Path, event: str, days: list[pd.Timestamp], columns: list[str] | None = None) -> Any:
    folders = [out / event / f"{day:%Y-%m-%d}" for day in days]
    return pd.concat([pd.read_parquet(folder, columns=columns) for folder in folders if folder.exists()])


def _training_rows(out: Path, day: pd.Timestamp) -> Any:
    return pd.read_parquet(_table(out, "click_rate", day), columns=["clicked", *FEATURES])


def _matrix(rows: Any, words: dict[str, list[Any]]) -> Any:
    """The features, categories by the words that training met; others are missing."""
    return rows[FEATURES].assign(**{name: pd.Categorical(rows[name], words[name]) for name in CATEGORIES})


if __name__ == "__main__":
    source, target, *between = sys.argv[1:]
    click_model(Path(source), Path(target), *(pd.Timestamp(day, tz="UTC") for day in between))
