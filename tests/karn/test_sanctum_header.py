"""What the two lines at the top say of a run that waits, has paused, or lacks something."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from sanctum_screens import screen_text, viewer
from sanctum_support import START, fixed_recorder, thrashing_run, training

from esper.karn.sanctum.feed import RunFeed
from esper.karn.sanctum.header import header_text
from esper.karn.sanctum.pace import WINDOW_S


def now() -> datetime:
    return datetime.now(UTC)


async def test_that_reading_waits_is_seen_in_80_columns(tmp_path):
    name = "a-training-with-a-rather-long-name-2026-03-01"
    thrashing_run(fixed_recorder(tmp_path, name))
    async with (app := viewer(tmp_path, name)).run_test(size=(80, 24)) as pilot:
        await pilot.press("p")
        await pilot.pause()
        first = screen_text(app).splitlines()[0]
        assert "paused" in first
        assert first.index("finished") < first.index("paused")


def test_a_rank_that_is_missing_is_named(tmp_path):
    with training(tmp_path, rank=0, world_size=4):
        pass
    feed = RunFeed(tmp_path / "run")
    feed.poll(1 << 20)
    assert "1 of 4 ranks" in header_text(feed.position(now()), "", now()).plain


class TestPace:
    def feed(self, folder):
        run = folder / "run"
        run.mkdir()
        lines = [
            {
                "event_type": "EPOCH_COMPLETED",
                "timestamp": (START + timedelta(seconds=n / 4)).isoformat(),
                "epoch": n,
                "data": {"env_id": 0, "episode_idx": 0},
                "seq": n,
            }
            for n in range(40)
        ]
        (run / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        feed = RunFeed(run)
        while feed.poll(1 << 20):
            pass
        return feed

    def test_is_said_while_events_come(self, tmp_path):
        position = self.feed(tmp_path).position(START + timedelta(seconds=11))
        assert position.status == "running"
        assert position.events_per_s == 4.0

    def test_is_said_no_more_when_none_came_for_longer_than_it_is_counted_over(self, tmp_path):
        feed, last = self.feed(tmp_path), START + timedelta(seconds=39 / 4)
        assert feed.position(last + timedelta(seconds=WINDOW_S)).events_per_s is not None
        later = last + timedelta(seconds=WINDOW_S + 1)
        assert feed.position(later).status == "running"
        assert feed.position(later).events_per_s is None
        assert "/s" not in header_text(feed.position(later), "", later).plain
