"""Checkpoints: a training that was killed and resumed is the one that was never interrupted."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec
import pytest
from event_list import Kept, Killed, ListSink, tiny

from esper.simic.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from esper.simic.config import PPOConfig, TrainConfig
from esper.simic.trainer import Progress, train

LONG = tiny(policy="random", n_slots=2, n_episodes=1, max_epochs=100)
SHORT = tiny(policy="oscillate", max_epochs=8, checkpoint_every=3, exploration=0.3)


def in_order(attempts: list[ListSink]) -> Counter[bytes]:
    """Every event of an environment that counts, by the store's rule.

    An event of an earlier attempt is superseded if it is from after the epoch that a later attempt resumed
    from, or if the later attempt has events of its type from the same epoch of the same environment.
    """
    kept: list[Kept] = []
    for attempt in attempts:
        started = attempt.events[0].data
        if "resumed_from_epoch" in started:
            resumed = (started["resumed_from_episode"], started["resumed_from_epoch"])
            again = {(event.env, event.episode, event.epoch, event.type) for event in attempt.events}
            kept = [
                event
                for event in kept
                if (event.episode, event.epoch) <= resumed
                and (event.env, event.episode, event.epoch, event.type) not in again
            ]
        kept += [event for event in attempt.events if event.env is not None]
    return Counter(msgspec.json.encode([event.env, event.type, event.epoch, event.data]) for event in kept)


def kill_at(epoch: int, config: TrainConfig, checkpoint: Path, *, resume: bool = False) -> ListSink:
    def on_epoch(progress: Progress) -> None:
        if progress.done == epoch:
            raise Killed

    sink = ListSink()
    with pytest.raises(Killed):
        train(config, sink, on_epoch=on_epoch, checkpoint_path=checkpoint, resume=resume)
    return sink


def whole(config: TrainConfig) -> ListSink:
    sink = ListSink()
    train(config, sink)
    return sink


class TestResume:
    def test_killed_at_epoch_95_and_resumed_from_90_counts_the_same(self, tmp_path: Path) -> None:
        checkpoint = tmp_path / "checkpoint.pt"
        killed = kill_at(95, LONG, checkpoint)
        resumed = ListSink()
        train(LONG, resumed, checkpoint_path=checkpoint, resume=True)
        started = resumed.events[0].data
        assert (started["resumed_from_episode"], started["resumed_from_epoch"]) == (0, 90)
        assert in_order([killed, resumed]) == in_order([whole(LONG)])

    def test_killed_before_its_first_epoch_it_starts_again(self, tmp_path: Path) -> None:
        killed = ListSink(dies_at=1)
        with pytest.raises(Killed):
            train(SHORT, killed, checkpoint_path=tmp_path / "checkpoint.pt")
        resumed = ListSink()
        train(SHORT, resumed, checkpoint_path=tmp_path / "checkpoint.pt", resume=True)
        started = resumed.events[0].data
        assert (started["resumed_from_episode"], started["resumed_from_epoch"]) == (0, 0)
        assert in_order([killed, resumed]) == in_order([whole(SHORT)])

    def test_what_differs_is_named_alone(self, tmp_path: Path) -> None:
        kill_at(2, tiny(policy="ppo"), tmp_path / "checkpoint.pt")
        other = tiny(policy="ppo", ppo=PPOConfig(lr=0.5))
        with pytest.raises(CheckpointError, match=r"another training: ppo\.lr was 0\.004 and is 0\.5$"):
            train(other, ListSink(), checkpoint_path=tmp_path / "checkpoint.pt", resume=True)

    def test_killed_at_any_event_it_counts_the_same(self, tmp_path: Path) -> None:
        uninterrupted = whole(SHORT)
        expected = in_order([uninterrupted])
        checkpoints = 0
        for dies_at in range(3, len(uninterrupted.events), 7):
            checkpoint = tmp_path / f"{dies_at}.pt"
            killed = ListSink(dies_at)
            with pytest.raises(Killed):
                train(SHORT, killed, checkpoint_path=checkpoint)
            if checkpoint.exists():
                checkpoints += 1
                resumed = ListSink()
                train(SHORT, resumed, checkpoint_path=checkpoint, resume=True)
                assert in_order([killed, resumed]) == expected, f"killed at event {dies_at}"
        assert checkpoints > 10

    def test_killed_twice_it_counts_the_same(self, tmp_path: Path) -> None:
        checkpoint = tmp_path / "checkpoint.pt"
        attempts = [kill_at(5, SHORT, checkpoint), kill_at(13, SHORT, checkpoint, resume=True), ListSink()]
        train(SHORT, attempts[-1], checkpoint_path=checkpoint, resume=True)
        assert in_order(attempts) == in_order([whole(SHORT)])

    def test_more_episodes_can_be_asked_for_later(self, tmp_path: Path) -> None:
        checkpoint = tmp_path / "checkpoint.pt"
        first, second = ListSink(), ListSink()
        train(SHORT, first, checkpoint_path=checkpoint)
        longer = msgspec.structs.replace(SHORT, n_episodes=3)
        train(longer, second, checkpoint_path=checkpoint, resume=True)
        assert in_order([first, second]) == in_order([whole(longer)])


class TestCheckpointFile:
    def test_without_one_nothing_is_written(self, tmp_path: Path) -> None:
        sink = ListSink()
        with pytest.raises(CheckpointError, match=r"no checkpoint to resume from at .*gone\.pt"):
            train(SHORT, sink, checkpoint_path=tmp_path / "gone.pt", resume=True)
        with pytest.raises(CheckpointError, match="name its file"):
            train(SHORT, sink, resume=True)
        assert sink.events == []

    def test_that_of_another_training_is_refused_with_what_differs(self, tmp_path: Path) -> None:
        checkpoint = tmp_path / "checkpoint.pt"
        save_checkpoint(checkpoint, SHORT, {})
        other = msgspec.structs.replace(SHORT, policy="random", seed=5)
        with pytest.raises(
            CheckpointError, match="policy was 'oscillate' and is 'random'; seed was 0 and is 5"
        ):
            load_checkpoint(checkpoint, other)

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half of", b"not a checkpoint"])
    def test_a_damaged_one_is_one_clear_error(self, tmp_path: Path, content: bytes) -> None:
        checkpoint = tmp_path / "checkpoint.pt"
        checkpoint.write_bytes(content)
        with pytest.raises(CheckpointError, match="is not a whole checkpoint"):
            load_checkpoint(checkpoint, SHORT)

    def test_a_failing_write_leaves_the_old_one_whole(self, tmp_path: Path) -> None:
        checkpoint = tmp_path / "checkpoint.pt"
        save_checkpoint(checkpoint, SHORT, {"epoch": 1})
        with pytest.raises((AttributeError, TypeError)):
            save_checkpoint(checkpoint, SHORT, {"epoch": lambda: None})
        assert load_checkpoint(checkpoint, SHORT) == {"epoch": 1}
        assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]

    def test_where_none_can_be_written_nothing_is_trained(self, tmp_path: Path) -> None:
        sink = ListSink()
        (tmp_path / "full.pt.tmp").mkdir()
        with pytest.raises(CheckpointError, match="the checkpoint can't be written: Is a directory"):
            train(SHORT, sink, checkpoint_path=tmp_path / "full.pt")
        (tmp_path / "taken.pt").mkdir()
        with pytest.raises(CheckpointError, match=r"taken\.pt of an earlier training can't be removed: "):
            train(SHORT, sink, checkpoint_path=tmp_path / "taken.pt")
        assert sink.events == []
        assert sorted(path.name for path in tmp_path.iterdir()) == ["full.pt.tmp", "taken.pt"]

    def test_one_that_finds_no_room_costs_nothing_but_itself(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """SHORT writes one at every third of 16 epochs and at the last; no room from epoch 4 to 13."""
        checkpoint, in_its_place = tmp_path / "checkpoint.pt", tmp_path / "checkpoint.pt.tmp"
        there = {}

        def on_epoch(progress: Progress) -> None:
            there[progress.done] = load_checkpoint(checkpoint, SHORT)["epoch"]
            if progress.done == 4:
                in_its_place.mkdir()
            if progress.done == 13:
                in_its_place.rmdir()

        sink = ListSink()
        train(SHORT, sink, on_epoch=on_epoch, checkpoint_path=checkpoint)
        assert in_order([sink]) == in_order([whole(SHORT)])
        assert [there[done] for done in (3, 6, 12, 14, 15, 16)] == [3, 3, 3, 3, 7, 8]
        (record,) = caplog.records
        assert record.getMessage().startswith("the checkpoint can't be written: Is a directory; the training")

    @pytest.mark.parametrize("full_from", [4, 15])
    def test_an_end_that_was_not_kept_is_told_with_what_was(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, full_from: int
    ) -> None:
        """No room from then to the end at epoch 8 of episode 1: for five checkpoints, or the last alone."""
        checkpoint = tmp_path / "checkpoint.pt"

        def on_epoch(progress: Progress) -> None:
            if progress.done == full_from:
                (tmp_path / "checkpoint.pt.tmp").mkdir()

        train(SHORT, ListSink(), on_epoch=on_epoch, checkpoint_path=checkpoint)
        kept = {4: "episode 0 epoch 3", 15: "episode 1 epoch 7"}[full_from]
        *earlier, last = [record.getMessage() for record in caplog.records]
        assert last == (
            "the checkpoint can't be written: Is a directory; the end of the training was not kept: "
            f"the newest checkpoint is of {kept}, and "
            "--resume with more episodes would train again from there"
        )
        assert [("the training goes on" in said) for said in earlier] == [True] * (full_from == 4)
