"""What luigid counts for Prometheus."""

from __future__ import annotations

from typing import Any

from luigi.contrib.prometheus_metric import PrometheusMetricsCollector


class Collector(PrometheusMetricsCollector):
    """Luigi's own, which cannot count a task that failed without having run and so loses the call that told of it."""

    def handle_task_failed(self, task: Any) -> None:
        if task.time_running is None:
            self.task_failed_counter.labels(**self._generate_task_labels(task)).inc()
        else:
            super().handle_task_failed(task)

    def handle_task_disabled(self, task: Any, config: Any) -> None:
        if task.time_running is None:
            self.task_disabled_counter.labels(**self._generate_task_labels(task)).inc()
        else:
            super().handle_task_disabled(task, config)
