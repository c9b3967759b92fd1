"""A recorder that is saved and restored goes on as if nothing had happened."""

from __future__ import annotations

import json
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from esper.leyline import LifecycleOp, TelemetryEventType
from esper.simic.training.recorder import FOSSILIZED, InternalOpRecorder
from support import ListSink

T = TelemetryEventType
GROW, SHRINK, NOOP = LifecycleOp.GROW_INTERNAL, LifecycleOp.SHRINK_INTERNAL, LifecycleOp.NOOP


STEP = st.tuples(
    st.sampled_from(["decide", "reward", "level", "plant", "prune", "fossilize", "epoch", "episode", "keep"]),
    st.integers(0, 1),
    st.integers(0, 2),
)


def play(recorder: InternalOpRecorder, steps: list[tuple[str, int, int]], start: int = 0) -> None:
    """Make the report of each step, leaving out those that can't be."""
    for number, (kind, env, at) in enumerate(steps, start):
        state, slot = recorder._env(env), f"r0c{at}"
        seed = state.slots.get(slot)
        match kind:
            case "decide":
                recorder.decision(
                    env, slot, list(LifecycleOp)[number % 6], probability=0.1, entropy=number / 7
                )
            case "reward":
                recorder.decision(env, None, NOOP, reward=number / 3)
            case "level" if seed is not None:
                recorder.level_changed(env, slot, seed.level, (seed.level + 1 + number % 4) % 5)
            case "plant" if seed is None:
                recorder.seed_added(env, slot, number % 5, 4, params=number)
            case "prune" | "fossilize" if seed is not None:
                recorder.seed_removed(env, slot, "policy" if kind == "prune" else FOSSILIZED)
            case "epoch":
                loss = math.nan if number % 11 == 10 else 1 / (1 + number)
                recorder.epoch_end(env, state.epoch + 1, loss, number / 100, reward=-loss)
            case "episode" | "keep":
                recorder.episode_end(env, keep_seeds=kind == "keep")


@settings(max_examples=150)
@given(st.lists(STEP, max_size=80), st.data())
def test_a_recorder_restored_at_any_point_goes_on_as_if_nothing_had_happened(steps, data):
    cut = data.draw(st.integers(0, len(steps)))
    whole, first, second = ListSink(), ListSink(), ListSink()
    uninterrupted, before, after = (
        InternalOpRecorder(sink, window_size=5, intervention_cost=0.01) for sink in (whole, first, second)
    )
    play(uninterrupted, steps)
    play(before, steps[:cut])
    after.seed_added(0, "forgotten", 1, 2)
    second.events.clear()
    after.load_state_dict(json.loads(json.dumps(before.state_dict())))
    play(after, steps[cut:], start=cut)
    assert repr(first.events + second.events) == repr(whole.events)  # repr: a NaN equals itself there
    assert repr(after.state_dict()) == repr(uninterrupted.state_dict())
    assert after.superseded_ops == uninterrupted.superseded_ops


def test_a_saved_state_does_not_change_when_the_training_goes_on(sink, recorder):
    recorder.decision(0, "r0c0", GROW)
    recorder.level_changed(0, "r0c0", 1, 2)
    saved = recorder.state_dict()
    copy = json.dumps(saved)
    recorder.epoch_end(0, 2, 0.5, 0.5, reward=1.0)
    recorder.level_changed(0, "r0c0", 2, 1)
    recorder.episode_end(0)
    assert json.dumps(saved) == copy
