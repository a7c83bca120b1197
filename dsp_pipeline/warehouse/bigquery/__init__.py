"""Tables in BigQuery. Only this folder imports Google's clients."""

from dsp_pipeline.warehouse.bigquery.warehouse import BigQueryWarehouse

__all__ = ["BigQueryWarehouse"]
