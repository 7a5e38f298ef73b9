"""Prometheus text from a `Status`. Label values come from configuration and from our own words only."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from turnout.control.status import PROCESSES, Status
from turnout.model.facts import DestinationFacts, Facts

_BREAKER = {"closed": 0, "half_open": 1, "open": 2}
_Samples = Iterable[tuple[list[str], float]]


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
        yield from _server(status)
        if (collector := status.processes.get("collector")) is not None:
            yield from _collecting(collector)
        if (worker := status.processes.get("worker")) is not None:
            yield _gauge("turnout_process_lag_events", "Events waiting to be processed", [], [([], worker.lag)])
            labels = ["source", "status"]
            yield _counter("turnout_processed_events", "Processed events, by verdict", labels, _split(worker.events))
            yield from _cleansing(worker)
            yield _enriching(worker)
            yield from _delivering(worker.destinations)
            text = "Attempts that the inspector read too late"
            yield _counter("turnout_inspector_attempts_lost", text, [], [([], worker.attempts_lost)])
        if (control := status.processes.get("control")) is not None:
            lag = control.inspector_lag
            yield _gauge("turnout_inspector_lag_events", "Events that the inspector has not looked at", [], [([], lag)])


def _server(status: Status) -> Iterator[Metric]:
    yield _gauge("turnout_ready", "1 when nothing is wrong", [], [([], status.ready)])
    yield _gauge("turnout_disk_free_bytes", "Free on the data directory's disk", [], [([], status.disk_free_bytes)])
    yield _gauge("turnout_log_bytes", "What the log takes on disk", [], [([], status.log_bytes)])
    yield _gauge("turnout_log_damage", "Parts of the log that were set aside", [], [([], len(status.damage))])
    up = [([name], float(name not in status.silent)) for name in PROCESSES]
    yield _gauge("turnout_process_up", "1 when the process speaks", ["process"], up)
    speaking = [(name, facts) for name, facts in status.processes.items() if name not in status.silent]
    rss = [([name], float(facts.rss_bytes)) for name, facts in speaking]
    yield _gauge("turnout_process_resident_memory_bytes", "Resident memory", ["process"], rss)
    started = [([name], facts.started_ms / 1000) for name, facts in speaking]
    yield _gauge("turnout_process_start_time_seconds", "When it started, since 1970", ["process"], started)
    info = InfoMetricFamily("turnout_configuration", "Version of the configuration in use", labels=["process"])
    for name, facts in speaking:
        info.add_metric([name], {"version": facts.config_version})
    yield info


def _collecting(facts: Facts) -> Iterator[Metric]:
    yield _counter(
        "turnout_requests", "Requests by endpoint and answer", ["endpoint", "answer"], _split(facts.requests)
    )
    yield _counter("turnout_collected_events", "Recorded events", ["source", "status"], _split(facts.events))
    yield _counter("turnout_refusals", "Refused events and requests", ["reason"], _split(facts.refusals))
    yield _counter("turnout_refusals_unrecorded", "Refusals over the cap", ["reason"], _split(facts.suppressed))
    yield _counter("turnout_empty_batches", "Batches without an event", ["source"], _split(facts.empty_batches))
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


def _cleansing(worker: Facts) -> Iterator[Metric]:
    def counter(name: str, text: str, counts: dict[str, int]) -> Metric:
        return _counter(name, text, ["site", "rule"], [(key.split(" ", 1), float(n)) for key, n in counts.items()])

    yield counter("turnout_cleansing_hits", "Events that a rule applied to", worker.cleansing)
    text = "Values that a rule's formulas could not compute"
    yield counter("turnout_cleansing_warnings", text, worker.cleansing_warnings)


def _enriching(worker: Facts) -> Metric:
    counts = [(key.split(" ", 2), float(n)) for key, n in worker.enrichments.items()]
    return _counter("turnout_enrichments", "Events by what an enrichment came to", ["site", "status", "rule"], counts)


def _delivering(found: dict[str, DestinationFacts]) -> Iterator[Metric]:
    def gauge(name: str, text: str, figures: Iterable[float]) -> Metric:
        return _gauge(name, text, ["destination"], zip(([ref] for ref in found), figures, strict=True))

    each = found.values()
    yield gauge("turnout_destination_lag_events", "Events it has not reached", (one.lag for one in each))
    yield gauge("turnout_ledger_events", "Events waiting for another attempt", (one.ledger for one in each))
    yield gauge("turnout_dead_letters", "Events given up, replayable", (one.dead_letters for one in each))
    sizes = (one.dead_letter_bytes for one in each)
    yield gauge("turnout_dead_letter_bytes", "What its dead letters take on disk, about", sizes)
    forgotten = [([ref], float(one.dead_letters_forgotten)) for ref, one in found.items()]
    text = "Dead letters that went before their time, for want of room"
    yield _counter("turnout_dead_letters_forgotten", text, ["destination"], forgotten)
    yield gauge("turnout_drift_events", "Events that the sums miss; always 0", (one.drift for one in each))
    yield gauge("turnout_breaker_state", "0 closed, 1 half open, 2 open", (_BREAKER[one.breaker] for one in each))
    attempts = [([ref], float(one.attempts)) for ref, one in found.items()]
    yield _counter("turnout_attempts", "Events sent, repeats included", ["destination"], attempts)
    # A gauge, because a replay takes events out of their outcome again.
    outcomes = [([ref, word], float(n)) for ref, one in found.items() for word, n in one.outcomes.items()]
    yield _gauge("turnout_outcomes", "Events by what became of them", ["destination", "outcome"], outcomes)
    filtered = [([ref, reason], float(n)) for ref, one in found.items() for reason, n in one.filtered.items()]
    yield _gauge("turnout_filtered_events", "Filtered events, by why", ["destination", "reason"], filtered)
    failures = [([ref], float(one.filter_failures)) for ref, one in found.items()]
    yield _counter("turnout_filter_failures", "Events that a failing filter stopped", ["destination"], failures)
    warnings = [([ref], float(one.mapping_warnings)) for ref, one in found.items()]
    text = "Values that formulas of a mapping or settings could not compute"
    yield _counter("turnout_mapping_warnings", text, ["destination"], warnings)


def _split(counts: dict[str, int]) -> _Samples:
    return [(key.split(" "), float(n)) for key, n in counts.items()]


def _gauge(name: str, text: str, labels: list[str], samples: _Samples) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in samples:
        family.add_metric(values, float(number))
    return family


def _counter(name: str, text: str, labels: list[str], samples: _Samples) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, number in samples:
        family.add_metric(values, number)
    return family
