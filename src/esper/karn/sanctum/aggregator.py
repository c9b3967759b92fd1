"""Folds telemetry events into the rows that Sanctum shows."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import replace
from itertools import chain

from esper.karn.diagnosis import SlotCounts, SlotVerdict, judge_slots
from esper.karn.sanctum.env_log import EnvLog, SlotEvent
from esper.karn.sanctum.state import LevelChange, SlotInternalState, SlotKey
from esper.leyline.events import TelemetryEvent
from esper.leyline.payloads import SeedFossilizedPayload, SeedPrunedPayload
from esper.leyline.thresholds import STABLE_EPOCHS

CHANGES_KEPT = 200
"""Level changes that the event log can show."""


class InternalLevelAggregator:
    """Aggregator for the internal levels of all slots of one run.

    Args:
        stable_epochs: epochs of an environment without a level change after which a slot's trend is
            "stable".
    """

    def __init__(self, stable_epochs: int = STABLE_EPOCHS) -> None:
        self._stable_epochs = stable_epochs
        self._ranks: dict[int, dict[int | None, EnvLog]] = {}
        self._attempts: defaultdict[int, int] = defaultdict(lambda: 1)
        self._changes: deque[tuple[SlotEvent, LevelChange]] = deque(maxlen=CHANGES_KEPT)

    def handle_seed_internal_level_changed(self, event: TelemetryEvent) -> None:
        """A seed grew or shrank: its row moves, and the op counts."""
        payload = event.data
        change = SlotEvent(
            kind=event.event_type,
            slot_id=event.slot_id or payload.slot_id,
            seed_id=event.seed_id,
            episode_idx=payload.episode_idx,
            epoch=event.epoch,
            from_level=payload.from_level,
            to_level=payload.to_level,
            max_level=payload.max_level,
        )
        self._env(event).add(change)
        shown = LevelChange(
            env_id=payload.env_id,
            slot_id=change.slot_id,
            episode_idx=change.episode_idx,
            epoch=change.epoch,
            from_level=change.from_level,
            to_level=change.to_level,
            max_level=change.max_level,
            timestamp=event.timestamp,
        )
        self._changes.append((change, shown))

    def handle_internal_op_metrics(self, event: TelemetryEvent) -> None:
        """The training's own windowed rate, shown beside the pooled one."""
        self._env(event).set_window_rate(event.slot_id or event.data.slot_id, event.data.reversal_rate)

    def handle_seed_germinated(self, event: TelemetryEvent) -> None:
        """A new seed gets its row, also one without a ladder."""
        payload = event.data
        self._env(event).add(
            SlotEvent(
                kind=event.event_type,
                slot_id=event.slot_id or payload.slot_id,
                seed_id=event.seed_id,
                episode_idx=payload.episode_idx,
                epoch=event.epoch,
                to_level=payload.level or 0,
                max_level=payload.max_level or 0,
            )
        )

    def handle_seed_pruned(self, event: TelemetryEvent) -> None:
        """A pruned seed loses its row; its ops stay counted."""
        self._removed(event, event.data)

    def handle_seed_fossilized(self, event: TelemetryEvent) -> None:
        """A fossilized seed's row is dimmed: its level can't change any more."""
        self._removed(event, event.data)

    def handle_epoch_completed(self, event: TelemetryEvent) -> None:
        """The environment's clock goes on, by which a level is stable or not."""
        self._env(event).epoch_completed(event.data.episode_idx, event.epoch)

    def handle_episode_outcome(self, event: TelemetryEvent) -> None:
        """The environment's next events belong to a new episode."""
        self._env(event).episode_ended()

    def begin_attempt(self, rank: int, attempt: int) -> None:
        """A rank's file was opened anew: its training was resumed, or run again."""
        self._attempts[rank] = attempt
        if rank in self._ranks:
            for env in self._ranks[rank].values():
                env.begin_attempt(attempt)

    def resume_at(self, rank: int, episode: int, epoch: int) -> None:
        """A rank says which epoch its checkpoint held; what it reported of later ones is withdrawn."""
        if rank in self._ranks:
            for env in self._ranks[rank].values():
                env.resume_at((episode, epoch))

    def to_snapshot(self) -> dict[SlotKey, SlotInternalState]:
        """A row for each slot that holds a seed, judged together with all other slots of the run."""
        return self.to_rows(self.verdicts())

    def verdicts(self) -> list[SlotVerdict]:
        """The judgement on every slot that had an op, the worst first."""
        return judge_slots(self.counts())

    def counts(self) -> list[SlotCounts]:
        """The counts of every slot that had an op, a pruned seed's too."""
        counts = [
            counter.counts(env_id, slot_id)
            for env_id, env in self._envs()
            for slot_id, counter in env.counters.items()
        ]
        return [slot for slot in counts if slot.n_ops > 0]

    def to_rows(self, verdicts: list[SlotVerdict]) -> dict[SlotKey, SlotInternalState]:
        """As ``to_snapshot``, where ``verdicts`` are known already."""
        judged = {(verdict.env_id, verdict.slot_id): place for place, verdict in enumerate(verdicts)}
        rows: dict[SlotKey, SlotInternalState] = {}
        for env_id, env in self._envs():
            for slot_id, state in env.states(self._stable_epochs):
                key = (env_id, slot_id)
                if key in judged:
                    place = judged[key]
                    rows[key] = _with_verdict(state, env_id, verdicts[place], place)
                else:
                    rows[key] = replace(state, env_id=env_id)
        return rows

    def changes(self) -> tuple[LevelChange, ...]:
        """The latest level changes, the newest last."""
        return tuple(shown for event, shown in self._changes if not event.withdrawn)

    def _removed(self, event: TelemetryEvent, payload: SeedPrunedPayload | SeedFossilizedPayload) -> None:
        self._env(event).add(
            SlotEvent(
                kind=event.event_type,
                slot_id=event.slot_id or payload.slot_id,
                seed_id=event.seed_id,
                episode_idx=payload.episode_idx,
                epoch=event.epoch,
            )
        )

    def _env(self, event: TelemetryEvent) -> EnvLog:
        rank = event.rank or 0
        envs = self._ranks.setdefault(rank, {})
        env_id = event.data.env_id
        if env_id not in envs:
            envs[env_id] = EnvLog(self._attempts[rank])
        return envs[env_id]

    def _envs(self) -> chain[tuple[int | None, EnvLog]]:
        return chain.from_iterable(envs.items() for envs in self._ranks.values())


def _with_verdict(
    state: SlotInternalState, env_id: int | None, verdict: SlotVerdict, place: int
) -> SlotInternalState:
    rate = verdict.reversal_rate
    return replace(
        state,
        env_id=env_id,
        # Until there is a pair to count, the training's own number stands in for it.
        reversal_rate=state.reversal_rate if rate is None else rate,
        n_pairs=verdict.n_pairs,
        verdict=verdict,
        place=place,
    )
