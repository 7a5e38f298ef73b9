"""Prometheus text from a `Status`. Label values come from configuration and from our own words only."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from turnout.control.status import Status
from turnout.model.facts import Facts

_BREAKER = {"closed": 0, "half_open": 1, "open": 2}


def render(status: Status) -> bytes:
    """All metrics, in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Collected(status))
    return generate_latest(registry)


class _Collected(Collector):
    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status
        yield _gauge("turnout_ready", "1 when nothing is wrong", [], [([], float(status.ready))])
        yield _gauge(
            "turnout_disk_free_bytes", "Free bytes on the data directory's disk", [], [([], status.disk_free_bytes)]
        )
        yield _gauge("turnout_log_bytes", "Bytes the log takes", [], [([], status.log_bytes)])
        rss = [([name], float(facts.rss_bytes)) for name, facts in status.processes.items()]
        yield _gauge("turnout_memory_bytes", "Resident memory", ["process"], rss)
        if (collector := status.processes.get("collector")) is not None:
            yield from _collecting(collector)
        if (worker := status.processes.get("worker")) is not None:
            yield from _working(worker)


def _collecting(facts: Facts) -> Iterator[Metric]:
    yield _counter(
        "turnout_requests", "Requests by endpoint and answer", ["endpoint", "answer"], _split(facts.requests)
    )
    yield _counter("turnout_collected_events", "Recorded events", ["source", "status"], _split(facts.events))
    yield _counter("turnout_refusals", "Refused events and requests", ["reason"], _split(facts.refusals))
    yield _counter("turnout_refusals_unrecorded", "Refusals over the cap", ["reason"], _split(facts.suppressed))
    yield _counter("turnout_received_bytes", "Bytes of bodies", [], [([], facts.bytes_in)])
    yield _gauge("turnout_connections", "Open client connections", [], [([], facts.connections)])
    commit = HistogramMetricFamily("turnout_commit_seconds", "Duration of an append to the log")
    buckets, total = [], 0.0
    for bound, n in sorted(facts.commits.items(), key=lambda item: float(item[0])):
        total += n
        if bound != "inf":
            buckets.append((bound, total))
    commit.add_metric([], [*buckets, ("+Inf", total)], facts.commit_seconds)
    yield commit


def _working(facts: Facts) -> Iterator[Metric]:
    yield _gauge("turnout_process_lag", "Events waiting to be processed", [], [([], facts.lag)])
    yield _counter("turnout_processed_events", "Processed events", ["source", "status"], _split(facts.events))
    found = facts.destinations.items()
    label = ["destination"]
    yield _gauge("turnout_lag", "Events a destination has not reached", label, [([r], d.lag) for r, d in found])
    yield _gauge("turnout_ledger", "Events waiting for another attempt", label, [([r], d.ledger) for r, d in found])
    yield _gauge(
        "turnout_dead_letters", "Events given up, replayable", label, [([r], d.dead_letters) for r, d in found]
    )
    yield _gauge("turnout_drift", "Events the sums miss; always 0", label, [([r], d.drift) for r, d in found])
    yield _counter("turnout_attempts", "Events sent, repeats included", label, [([r], d.attempts) for r, d in found])
    states = [([ref], float(_BREAKER[destination.breaker])) for ref, destination in found]
    yield _gauge("turnout_breaker", "0 closed, 1 half open, 2 open", label, states)
    outcomes = [([ref, word], float(n)) for ref, destination in found for word, n in destination.outcomes.items()]
    yield _gauge("turnout_outcomes", "Events by outcome now", ["destination", "outcome"], outcomes)


_Samples = Iterable[tuple[list[str], float]]


def _split(counts: dict[str, int]) -> _Samples:
    return [(key.split(" "), float(n)) for key, n in counts.items()]


def _gauge(name: str, text: str, labels: list[str], samples: _Samples) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family


def _counter(name: str, text: str, labels: list[str], samples: _Samples) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family
