# SPDX-License-Identifier: Apache-2.0
"""Counters of the door in the Prometheus form; none of them has a tenant or an image as label.

Without the `metrics` extra nothing is counted and `render` says so.
"""

from __future__ import annotations

from typing import Any

from calotype.errors import Unsupported

TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The counters of one process."""

    def __init__(self) -> None:
        try:
            import prometheus_client as prometheus
        except ImportError:
            self._registry: Any = None
            return
        self._registry = prometheus.CollectorRegistry()
        labels = ("operation", "status")
        self._requests = prometheus.Counter(
            "calotype_requests", "Answers by operation and status", labels, registry=self._registry
        )
        self._seconds = prometheus.Histogram(
            "calotype_request_seconds",
            "Time to the answer by operation",
            ("operation",),
            registry=self._registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300),
        )
        self._bytes = prometheus.Counter(
            "calotype_answer_bytes", "Bytes of answers", registry=self._registry
        )

    def count(self, operation: str, status: int, seconds: float, sent: int) -> None:
        """Count one answer."""
        if self._registry is None:
            return
        self._requests.labels(operation, str(status)).inc()
        self._seconds.labels(operation).observe(seconds)
        self._bytes.inc(sent)

    def gauge(self, name: str, text: str, value: Any) -> None:
        """Show what `value()` gives whenever the metrics are read."""
        if self._registry is None:
            return
        import prometheus_client as prometheus

        prometheus.Gauge(name, text, registry=self._registry).set_function(value)

    def render(self) -> bytes:
        """Return the text form. Raises Unsupported without the extra."""
        if self._registry is None:
            raise Unsupported("the extra `metrics` is not installed", rule="metrics_missing")
        import prometheus_client as prometheus

        text: bytes = prometheus.generate_latest(self._registry)
        return text
