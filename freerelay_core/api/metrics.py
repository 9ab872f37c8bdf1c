"""The metrics of this process in Prometheus' text format: counts from the tally, gauges read when they are asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from freerelay_core.composition import RouterState
from freerelay_core.composition.state import AVAILABILITIES
from freerelay_core.composition.tally import Histogram, Tally

__all__ = ["CONTENT_TYPE", "metric_families", "metrics_text"]

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

T = TypeVar("T")


def metric_families(tally: Tally, state: RouterState) -> list[Metric]:
    """All metrics of FreeRelay's own, as they are now; to be called on the application's event loop."""
    return [*_counted(tally), *_gauges(state), *_by_endpoint(state)]


def metrics_text(families: list[Metric]) -> bytes:
    """These, and those of the process, as text."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    registry.register(_Families(families))
    return generate_latest(registry)


@dataclass(frozen=True, slots=True, eq=False)
class _Families(Collector):
    families: list[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.families


def _counted(tally: Tally) -> Iterator[Metric]:
    yield _counter("freerelay_decisions", "Decisions carried out.", ("preference", "level"), tally.decisions)
    yield _counter(
        "freerelay_outcomes",
        "Requests that ended, by who answered (none: nobody did) and class of status.",
        ("endpoint", "status", "basis"),
        tally.outcomes,
    )
    yield _counter("freerelay_attempts", "Calls of endpoints.", ("endpoint", "result"), tally.attempts)
    yield _counter(
        "freerelay_explored", "Decisions that tried out another endpoint than the best first.", (), {(): tally.explored}
    )
    yield _counter("freerelay_failovers", "Attempts made because the one before failed.", (), {(): tally.failovers})
    yield _counter(
        "freerelay_hedges", "Second attempts beside a slow first one.", ("result",), _one_label(tally.hedges)
    )
    yield _counter(
        "freerelay_rejected_requests",
        "Chat requests refused before a decision, by code of the error.",
        ("reason",),
        _one_label(tally.rejected),
    )
    yield _histogram(
        "freerelay_first_token_seconds",
        "From the call of the endpoint that answered to the first content of its stream.",
        ("endpoint",),
        _one_label(tally.first_token_s),
    )
    yield _histogram(
        "freerelay_upstream_duration_seconds",
        "From the call of the endpoint that answered to the end of its answer.",
        ("endpoint",),
        _one_label(tally.upstream_s),
    )
    yield _histogram(
        "freerelay_request_duration_seconds",
        "From the arrival of a chat request to the end of its answer.",
        ("kind", "basis"),
        tally.request_s,
    )
    yield _histogram(
        "freerelay_overhead_seconds",
        "What FreeRelay adds: before the first call of an endpoint, and after the answering one has ended.",
        ("phase",),
        _one_label(tally.overhead_s),
    )


def _gauges(state: RouterState) -> Iterator[Metric]:
    log, process = state.decision_log, state.process
    yield GaugeMetricFamily("freerelay_open_requests", "Decided requests under way.", process.open_requests)
    yield GaugeMetricFamily("freerelay_ready", "1 once the store has been reached.", process.ready)
    yield GaugeMetricFamily("freerelay_decision_log_pending", "Decisions that wait to be written.", log.pending)
    yield GaugeMetricFamily("freerelay_decision_log_spilled", "Decisions that wait in files.", log.spilled)
    yield CounterMetricFamily("freerelay_decision_log_dropped", "Decisions that were lost.", log.dropped)
    yield GaugeMetricFamily("freerelay_snapshot_age_seconds", "Age of the snapshot that decides.", state.snapshot.age_s)
    yield CounterMetricFamily("freerelay_snapshots", "Snapshots made.", int(state.snapshot.id.rpartition("-")[2]))
    yield GaugeMetricFamily("freerelay_known_identities", "Keys known without the database.", process.known_identities)
    build = GaugeMetricFamily("freerelay_build_info", "1, with the version.", labels=("version", "worker"))
    build.add_metric((process.version, process.worker), 1)
    yield build


def _by_endpoint(state: RouterState) -> Iterator[Metric]:
    """Of those that take live traffic."""
    availability = GaugeMetricFamily(
        "freerelay_endpoint_state", "1 for the state that the endpoint is in.", labels=("endpoint", "state")
    )
    retry = GaugeMetricFamily(
        "freerelay_endpoint_retry_seconds",
        "Until an endpoint that was left alone is asked again.",
        labels=("endpoint",),
    )
    success = GaugeMetricFamily(
        "freerelay_endpoint_success_ratio", "Expected share of answered requests.", labels=("endpoint",)
    )
    headroom = GaugeMetricFamily(
        "freerelay_endpoint_headroom_ratio", "Share of the tightest limit that is left.", labels=("endpoint",)
    )
    for each in state.endpoints:
        if not each.live:
            continue
        for name in AVAILABILITIES.values():
            availability.add_metric((each.endpoint, name), each.availability == name)
        if each.retry_in_s is not None:
            retry.add_metric((each.endpoint,), each.retry_in_s)
        success.add_metric((each.endpoint,), each.success)
        headroom.add_metric((each.endpoint,), each.headroom)
    return iter((availability, retry, success, headroom))


def _counter(
    name: str, says: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], int]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, says, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _histogram(
    name: str, says: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], Histogram]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, says, labels=labels)
    for key, histogram in values.items():
        bounds = (*(str(bound) for bound in histogram.bounds), "+Inf")
        family.add_metric(
            key, buckets=list(zip(bounds, accumulate(histogram.counts), strict=True)), sum_value=histogram.total
        )
    return family


def _one_label(values: Mapping[str, T]) -> dict[tuple[str, ...], T]:
    return {(key,): value for key, value in values.items()}
