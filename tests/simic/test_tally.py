"""What is shown while a training runs is what its events say afterwards."""

from __future__ import annotations

from itertools import pairwise

import pytest
from event_list import ListSink, tiny

from esper.simic.tally import Tally
from esper.simic.trainer import Progress, train


@pytest.mark.parametrize("policy", ["random", "oscillate"])
def test_the_reversal_rate_is_that_of_the_events(policy: str) -> None:
    sink, seen = ListSink(), list[Progress]()
    train(tiny(policy=policy, max_epochs=30, exploration=0.4), sink, on_epoch=seen.append)
    directions: dict[object, list[bool]] = {}
    for event in sink.of("SEED_INTERNAL_LEVEL_CHANGED"):
        of_seed = (event.env, event.episode, event.slot_id, event.seed_id)
        directions.setdefault(of_seed, []).append(event.data["to_level"] > event.data["from_level"])
    pairs = [pair for moves in directions.values() for pair in pairwise(moves)]
    assert len(pairs) > 5
    assert seen[-1].reversal_rate == pytest.approx(sum(a != b for a, b in pairs) / len(pairs))
    assert seen[0].reversal_rate is None


def test_what_came_before_is_forgotten_with_the_seed_and_with_the_episode() -> None:
    tally = Tally()
    tally.moved(0, "r0c0", 1)
    tally.seed_gone(0, "r0c0")
    tally.moved(0, "r0c0", -1)
    tally.moved(1, "r0c0", 1)
    assert tally.reversal_rate is None
    tally.episode_ended()
    tally.moved(1, "r0c0", -1)
    assert tally.reversal_rate is None
    tally.moved(1, "r0c0", 1)
    assert tally.reversal_rate == 1.0
