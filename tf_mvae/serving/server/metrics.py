"""The server's Prometheus metrics."""

import prometheus_client as prometheus

__all__ = ["Metrics"]


class Metrics:
    """The server's metrics, in their own registry."""

    content_type = prometheus.CONTENT_TYPE_LATEST

    def __init__(self):
        """Makes all metrics, with value 0."""
        registry = self._registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=registry)
        prometheus.GCCollector(registry=registry)
        self.requests = prometheus.Counter(
            "tf_mvae_requests",
            "Requests by route and status.",
            ["route", "status"],
            registry=registry,
        )
        self.seconds = prometheus.Histogram(
            "tf_mvae_request_seconds",
            "Time from a request's headers to its answer.",
            ["route"],
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
            registry=registry,
        )
        self.batch_size = prometheus.Histogram(
            "tf_mvae_batch_examples",
            "Examples in one call of the model.",
            ["signature"],
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
            registry=registry,
        )
        self.queued = prometheus.Gauge(
            "tf_mvae_queued_requests", "Requests that wait for the model.", registry=registry
        )
        self.running = prometheus.Gauge(
            "tf_mvae_running_requests", "Requests that are not answered yet.", registry=registry
        )
        self.refused = prometheus.Counter(
            "tf_mvae_refused_requests",
            "Requests refused for load or time.",
            ["reason"],
            registry=registry,
        )
        self.versions = prometheus.Gauge(
            "tf_mvae_model_version",
            "1 for a version that is served.",
            ["version"],
            registry=registry,
        )
        self.loads = prometheus.Counter(
            "tf_mvae_model_loads", "Versions loaded, by result.", ["result"], registry=registry
        )

    def text(self) -> bytes:
        """Returns all metrics in Prometheus' text format."""
        return prometheus.generate_latest(self._registry)
