"""Lines that are read no further than Sanctum needs: what is skipped is skipped rightly, or not at all."""

from __future__ import annotations

import json
import random

import pytest
from sanctum_support import LATER, read, training

from esper.karn.jsonl.tail import TailReader
from esper.karn.sanctum import feed
from esper.karn.sanctum.brief import read_brief
from esper.karn.sanctum.feed import RunFeed

CHANGE = {"slot_id": "r0", "from_level": 1, "to_level": 2, "max_level": 4, "env_id": 0, "episode_idx": 0}


def change(**fields):
    """A level change's line; ``data`` is merged."""
    event = {
        "event_id": "0.1-7",
        "event_type": "SEED_INTERNAL_LEVEL_CHANGED",
        "timestamp": "2026-01-01T00:00:01+00:00",
        "seed_id": "s",
        "epoch": 1,
        "data": CHANGE | fields.pop("data", {}),
        "rank": 0,
        "seq": 7,
    } | fields
    return json.dumps(event)


def snapshot(event_type="ANALYTICS_SNAPSHOT", **data):
    return change(event_type=event_type).replace(json.dumps(CHANGE), json.dumps(data))


BRIEF = {
    "keys in another order": json.dumps(dict(reversed(json.loads(change()).items()))),
    "data before the type": change().replace('"event_type"', '"message": "", "event_type"'),
    "a name with quotes that looks like a key": change(data={"slot_id": 'a","event_type":"SEED_PRUNED"'}),
    "an id that looks like a type": change(event_id='","event_type":"EPOCH_COMPLETED'),
    "escaped letters": change(data={"slot_id": "r0"}).replace('"r0"', '"\\u00720"'),
    "an escaped key": change().replace('"to_level"', '"to\\u005flevel"'),
    "a type with an escaped letter": change().replace('"SEED_INT', '"\\u0053EED_INT'),
    "numbers as texts": change(data={"to_level": "2", "env_id": "0"}),
    "fields that nobody knows": change(data={"more": {"event_type": "EPOCH_COMPLETED", "env_id": 9}}),
    "a wrong type in what is not read": change(data={"active_params": "many"}),
    "another kind of snapshot": snapshot(kind="other", env_id=0, episode_idx=0),
    "a decision": snapshot(kind="last_action", action_name="NOOP", env_id=0, episode_idx=0),
    "a stage": snapshot("SEED_STAGE_CHANGED", slot_id="r0", from_stage="A", to_stage="B"),
}
LONG_WAY = {
    "a type that is not known": change(event_type="ELSE"),
    "no type": json.dumps({"data": CHANGE}),
    "two types": change().replace('"timestamp"', '"event_type": "SEED_PRUNED", "timestamp"'),
    "no level": snapshot("SEED_INTERNAL_LEVEL_CHANGED", slot_id="r0", from_level=1, max_level=4),
    "a level that is no number": change(data={"to_level": "high"}),
    "a highest level that can't be read": change(data={"max_level": -1}),
    "an environment that is no number": change(data={"env_id": "x"}),
    "an epoch that is too large": change(epoch=2**70),
    "data that are no object": snapshot().replace('"data": {}', '"data": [1]'),
    "a number that is too large": change(data={"more": 1}).replace('"more": 1', '"more": 1e999'),
    "NaN": change(data={"more": float("nan")}),
    "two events on a line": change() + change(seq=8),
    "half an event": change()[:-10],
    "a blank line": "",
    "a wrong byte in what is not read": change(message="\udcff"),
    "a snapshot of anything": snapshot(kind=3),
}


def write_lines(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(line.encode("utf-8", "surrogateescape") + b"\n" for line in lines))


def as_read_the_long_way(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(feed, "read_brief", lambda chunk: None)
        return read(folder)


class TestOneLine:
    @pytest.mark.parametrize(
        ("line", "briefly"),
        [
            *(pytest.param(line, True, id=name) for name, line in BRIEF.items()),
            *(pytest.param(line, False, id=name) for name, line in LONG_WAY.items()),
        ],
    )
    def test_says_the_same_either_way(self, line, briefly, tmp_path, monkeypatch):
        lines = [
            change(seq=6, data={"from_level": 0, "to_level": 1}),
            line,
            change(seq=9, data={"env_id": 1}),
        ]
        # Half a surrogate pair is written as the byte that it stands for.
        lines = [line.replace("\\udcff", "\udcff") for line in lines]
        write_lines(tmp_path / "run" / "events.jsonl", *lines)
        chunk = TailReader(tmp_path / "run" / "events.jsonl").read()
        assert (read_brief(chunk) is not None) == briefly
        told = read(tmp_path)
        assert told == as_read_the_long_way(tmp_path, monkeypatch)
        assert told.slots


class TestRuns:
    def test_each_process_that_writes_a_run_is_noticed(self, tmp_path, monkeypatch):
        for first in (1, 3):
            with training(tmp_path) as recorder:
                recorder.seed_added(0, "r0", 1, 9)
                for epoch in range(first, first + 4):
                    recorder.level_changed(0, "r0", epoch, epoch + 1)
                    recorder.epoch_end(0, epoch, 1.0, 0.5)
        told = read(tmp_path)
        assert told == as_read_the_long_way(tmp_path, monkeypatch)
        # Epochs 3 and 4 were trained twice.
        assert told.verdicts[0].n_ops < 8

    def test_a_run_that_is_read_bit_by_bit_shows_what_one_shows_that_is_read_at_once(self, tmp_path):
        dice = random.Random(0)
        looking = RunFeed(tmp_path / "run")
        levels: dict[tuple[int, str], int] = {}
        with training(tmp_path, envs=3) as recorder:
            for epoch in range(1, 120):
                for env in range(3):
                    slot = dice.choice(["a", "b", "c", "d"])
                    key = env, slot
                    if key not in levels:
                        levels[key] = 2
                        recorder.seed_added(env, slot, 2, 4)
                    elif dice.random() < 0.1:
                        del levels[key]
                        recorder.seed_removed(env, slot, dice.choice(["policy", "fossilized"]))
                    elif dice.random() < 0.7:
                        after = levels[key] + (dice.choice([-1, 1]) if 0 < levels[key] < 4 else 0)
                        if after != levels[key]:
                            recorder.level_changed(env, slot, levels[key], after)
                        levels[key] = after
                    recorder.epoch_end(env, epoch % 40 + 1, 1.0 + dice.random(), 0.5)
                    if epoch % 40 == 39:
                        recorder.episode_end(env, outcome="timeout")
                        levels = {key: level for key, level in levels.items() if key[0] != env}
                if dice.random() < 0.3:
                    looking.poll(1 << 30)
                    assert looking.snapshot(LATER) == read(tmp_path)
                    if dice.random() < 0.3:
                        moment = dice.choice(looking.positions())
                        at_once = RunFeed(tmp_path / "run")
                        at_once.poll(1 << 30)
                        assert looking.snapshot_at(moment, LATER) == at_once.snapshot_at(moment, LATER)
