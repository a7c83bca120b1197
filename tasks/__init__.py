"""The pipeline's tasks, for `luigi --module tasks …`."""

from tasks import killed, logs, patience, stopped
from tasks.backfill import Backfill
from tasks.bigquery_load import BigQueryLoad
from tasks.daily_pipeline import DailyPipeline
from tasks.export_model import ExportModel
from tasks.feature_build import FeatureBuild
from tasks.late_logs import LateLogs
from tasks.raw_log import RawLog
from tasks.restate import Restate
from tasks.s3_log_ingest import S3LogIngest
from tasks.train_model import TrainModel

logs.configure()
patience.configure()
killed.configure()
stopped.configure()

__all__ = [
    "Backfill",
    "BigQueryLoad",
    "DailyPipeline",
    "ExportModel",
    "FeatureBuild",
    "LateLogs",
    "RawLog",
    "Restate",
    "S3LogIngest",
    "TrainModel",
]
