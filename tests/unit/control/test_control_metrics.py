"""The text of `/metrics`: parsed by Prometheus' own parser, names as its convention wants them."""

import math
import re

from prometheus_client.parser import text_string_to_metric_families

from turnout.control.metrics import render
from turnout.control.status import Status
from turnout.model.facts import DestinationFacts, Facts


def status() -> Status:
    collector = Facts(
        process="collector",
        pid=1,
        started_ms=1_500,
        beat_ms=0,
        config_version="c0ffee",
        rss_bytes=1_000,
        connections=3,
        requests={"events 200": 5, "events_batch 400": 1},
        events={"29/shop valid": 4, "- rejected": 1},
        refusals={"invalid_json": 2},
        suppressed={"invalid_json": 1},
        empty_batches={"29/shop": 2},
        bytes_in=900,
        commit_seconds=0.25,
        commits={"0.5": 1, "0.001": 2, "inf": 4, "0.01": 3},
    )
    worker = Facts(
        process="worker",
        pid=2,
        started_ms=2_000,
        beat_ms=0,
        lag=8,
        events={"29/shop invalid_accepted": 6},
        cleansing={"29 Old orders": 5},
        attempts_lost=4,
        cleansing_warnings={"29 Old orders": 3},
        destinations={
            "29/orders": DestinationFacts(
                lag=9,
                breaker="half_open",
                ledger=2,
                dead_letters=1,
                drift=0,
                attempts=12,
                outcomes={"delivered": 7, "pending": 2, "filtered": 4},
                filtered={"consent": 3, "condition": 1},
                filter_failures=1,
            ),
            'a/"b\\c': DestinationFacts(breaker="open"),
        },
    )
    return Status(
        ready=False,
        problems=["control: not running, or not answering"],
        processes={"collector": collector, "worker": worker},
        silent=["control"],
        damage=["one"],
        disk_free_bytes=77,
        log_bytes=66,
    )


def samples() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(render(status()).decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def figure(name: str, **labels: str) -> float:
    return samples()[name, tuple(sorted(labels.items()))]


def test_every_figure_is_there() -> None:
    expected = [
        (figure("turnout_ready"), 0),
        (figure("turnout_disk_free_bytes"), 77),
        (figure("turnout_log_bytes"), 66),
        (figure("turnout_log_damage"), 1),
        (figure("turnout_process_up", process="collector"), 1),
        (figure("turnout_process_up", process="control"), 0),
        (figure("turnout_process_resident_memory_bytes", process="collector"), 1_000),
        (figure("turnout_process_start_time_seconds", process="collector"), 1.5),
        (figure("turnout_configuration_info", process="collector", version="c0ffee"), 1),
        (figure("turnout_requests_total", endpoint="events", answer="200"), 5),
        (figure("turnout_requests_total", endpoint="events_batch", answer="400"), 1),
        (figure("turnout_collected_events_total", source="29/shop", status="valid"), 4),
        (figure("turnout_collected_events_total", source="-", status="rejected"), 1),
        (figure("turnout_refusals_total", reason="invalid_json"), 2),
        (figure("turnout_refusals_unrecorded_total", reason="invalid_json"), 1),
        (figure("turnout_empty_batches_total", source="29/shop"), 2),
        (figure("turnout_received_bytes_total"), 900),
        (figure("turnout_connections"), 3),
        (figure("turnout_process_lag_events"), 8),
        (figure("turnout_processed_events_total", source="29/shop", status="invalid_accepted"), 6),
        (figure("turnout_cleansing_hits_total", site="29", rule="Old orders"), 5),
        (figure("turnout_cleansing_warnings_total", site="29", rule="Old orders"), 3),
        (figure("turnout_destination_lag_events", destination="29/orders"), 9),
        (figure("turnout_ledger_events", destination="29/orders"), 2),
        (figure("turnout_dead_letters", destination="29/orders"), 1),
        (figure("turnout_drift_events", destination="29/orders"), 0),
        (figure("turnout_attempts_total", destination="29/orders"), 12),
        (figure("turnout_breaker_state", destination="29/orders"), 1),
        (figure("turnout_breaker_state", destination='a/"b\\c'), 2),
        (figure("turnout_outcomes", destination="29/orders", outcome="delivered"), 7),
        (figure("turnout_outcomes", destination="29/orders", outcome="pending"), 2),
        (figure("turnout_outcomes", destination="29/orders", outcome="filtered"), 4),
        (figure("turnout_filtered_events", destination="29/orders", reason="consent"), 3),
        (figure("turnout_filtered_events", destination="29/orders", reason="condition"), 1),
        (figure("turnout_filter_failures_total", destination="29/orders"), 1),
        (figure("turnout_inspector_attempts_lost_total"), 4),
    ]
    assert [found for found, _ in expected] == [wanted for _, wanted in expected]


def test_commit_latency_is_a_histogram_with_cumulative_buckets() -> None:
    buckets = {
        float(dict(labels)["le"]): value
        for (name, labels), value in samples().items()
        if name == "turnout_commit_seconds_bucket"
    }
    assert buckets == {0.001: 2, 0.01: 5, 0.5: 6, math.inf: 10}
    assert figure("turnout_commit_seconds_count") == 10
    assert figure("turnout_commit_seconds_sum") == 0.25


def test_names_are_ours_plain_and_explained() -> None:
    for family in text_string_to_metric_families(render(status()).decode()):
        assert re.fullmatch(r"turnout_[a-z_]+", family.name)
        assert family.documentation
        assert family.type in ("gauge", "counter", "histogram", "info")
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)


def test_a_server_that_never_ran_has_metrics_too() -> None:
    empty = Status(ready=False, problems=[], processes={}, disk_free_bytes=1, log_bytes=0)
    families = {family.name for family in text_string_to_metric_families(render(empty).decode())}
    assert "turnout_ready" in families
