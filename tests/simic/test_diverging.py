"""A real training whose loss is no number any more: nothing is lost or hidden, its error is its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from event_list import tiny

from esper.karn.collector import TelemetryCollector
from esper.karn.store.database import Store
from esper.karn.store.evidence import thrash_verdict
from esper.leyline.events import EventSink, TelemetryEventType
from esper.leyline.payloads import Payload
from esper.simic.config import TrainConfig
from esper.simic.trainer import train

MUCH = 1e30
"""A learning rate after whose first step every activation overflows."""
POLICIES = ["random", "oscillate", "heuristic", "ppo"]


def diverging(policy: str = "oscillate") -> TrainConfig:
    return tiny(policy=policy, lr=MUCH, n_envs=1, n_episodes=2, max_epochs=8)


def refuse(token: str) -> NoReturn:
    raise AssertionError(f"{token} is not JSON")


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Every event of a file, which must be whole lines of strict JSON."""
    content = path.read_text()
    assert content.endswith("\n")
    return [json.loads(line, parse_constant=refuse) for line in content.splitlines()]


@pytest.fixture(scope="module", params=POLICIES)
def telemetry(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The telemetry folder of a training that diverged from its first epoch on."""
    folder = tmp_path_factory.mktemp("telemetry")
    with TelemetryCollector(folder, "run") as sink:
        train(diverging(request.param), sink)
    return folder


class TestWithoutAnErrorOfItsOwn:
    def test_it_goes_on_to_its_end_and_every_line_is_json(self, telemetry: Path) -> None:
        events = lines_of(telemetry / "run/events.jsonl")
        assert [event["seq"] for event in events] == list(range(len(events)))
        assert events[-1]["event_type"] == "TRAINING_FINISHED"
        epochs = [event["data"] for event in events if event["event_type"] == "EPOCH_COMPLETED"]
        assert len(epochs) == 16
        assert all(data["loss"] is None and data["non_finite"]["loss"] == "NaN" for data in epochs)

    def test_the_views_show_what_was_not_finite(self, telemetry: Path) -> None:
        store = Store(telemetry, seal=False)
        try:
            store.refresh()
            rows = store.select("SELECT loss, accuracy, non_finite FROM epochs").dicts()
            assert len(rows) == 16
            assert {row["loss"] for row in rows} == {None}
            assert all(row["non_finite"]["loss"] == "NaN" for row in rows)
            assert all(0 <= row["accuracy"] <= 1 for row in rows)
            # No loss is known yet at the first decision of an episode; at all others it was no number.
            named = "SELECT count(*) FROM decisions WHERE non_finite->>'loss_before' = 'NaN'"
            assert store.select(named).rows == [[14]]
            assert store.select("SELECT count(*) FROM ingest_errors").rows == [[0]]
            assert thrash_verdict(store).status == "finished"
        finally:
            store.close()


class Nothing:
    """No telemetry at all."""

    def emit(self, event_type: TelemetryEventType, payload: Payload, **envelope: Any) -> None: ...

    def for_env(self, local: int) -> EventSink:
        return self


def own_error(sink: Any) -> str:
    """What torch itself says when it looks for the first gradient that is no number."""
    with (
        torch.autograd.set_detect_anomaly(True),
        pytest.warns(UserWarning, match="Error detected in"),
        pytest.raises(RuntimeError) as caught,
    ):
        train(diverging(), sink)
    return str(caught.value)


def test_its_own_error_is_the_one_that_it_raises_without_telemetry(tmp_path: Path) -> None:
    without = own_error(Nothing())
    assert "returned nan values in its 0th output" in without
    with TelemetryCollector(tmp_path, "run") as sink:
        assert own_error(sink) == without
    events = lines_of(tmp_path / "run/events.jsonl")
    assert [event["event_type"] for event in events].count("EPOCH_COMPLETED") == 1
    last = events[-1]
    assert (last["event_type"], last["severity"]) == ("TRAINING_FAILED", "error")
    assert last["data"]["reason"] == f"RuntimeError: {without}"
    store = Store(tmp_path, seal=False)
    try:
        store.refresh()
        verdict = thrash_verdict(store, "run")
        assert verdict.status == "crashed"
        assert f": RuntimeError: {without}" in verdict.notes[-1]
        assert verdict.notes[-1].startswith("rank 0: gave up at ")
    finally:
        store.close()
