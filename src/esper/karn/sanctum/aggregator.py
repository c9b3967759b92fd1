"""Folds telemetry events into the histories that Sanctum's rows are read from."""

from __future__ import annotations

from collections import defaultdict
from itertools import takewhile
from operator import attrgetter, itemgetter

from esper.karn.diagnosis import Effect, SlotCounts, SlotJudge, SlotVerdict
from esper.karn.sanctum.changes import LatestChanges, latest_changes
from esper.karn.sanctum.count_reader import CountReader
from esper.karn.sanctum.env_log import EnvLog
from esper.karn.sanctum.moments import Moment
from esper.karn.sanctum.names import Names
from esper.karn.sanctum.outcomes import Outcome, effects
from esper.karn.sanctum.records import packed
from esper.karn.sanctum.rows import Judged, RowReader, slot_history
from esper.karn.sanctum.slot_log import (
    CHANGED,
    FOSSILIZED,
    GERMINATED,
    PRUNED,
    TIME_BYTES,
    SlotEvent,
    WindowRate,
)
from esper.karn.sanctum.state import LevelChange, Position, SlotInternalState, SlotKey, SlotOp
from esper.leyline.events import TelemetryEvent
from esper.leyline.payloads import SeedFossilizedPayload, SeedPrunedPayload
from esper.leyline.thresholds import STABLE_EPOCHS

_NAN = float("nan")
_slot_of = attrgetter("env_id", "slot_id")


class InternalLevelAggregator:
    """Aggregator for the internal levels of all slots of one run.

    Whatever it tells of now it can tell of any moment that was: ``at`` is a position, None for now.

    Args:
        stable_epochs: epochs of an environment without a level change after which a slot's trend is
            "stable".
    """

    def __init__(self, stable_epochs: int = STABLE_EPOCHS) -> None:
        self._ranks: dict[int, dict[int | None, EnvLog]] = {}
        self._sharing: set[int] = set()
        """Ranks that hold copies of the same environments."""
        self._attempts: defaultdict[int, int] = defaultdict(lambda: 1)
        self._names = Names()
        self._rows = RowReader(self._names, stable_epochs)
        self._counts = CountReader()
        self._changes = LatestChanges()
        self._judge = SlotJudge()
        self._arrivals = 0
        self._now: list[Moment] | None = None
        """Every environment as it is now; None after a new one."""

    def handle_seed_internal_level_changed(self, event: TelemetryEvent) -> None:
        """A seed grew or shrank: its row moves, and the op counts."""
        payload = event.data
        env = self._env(event)
        change = SlotEvent(
            *self._place(event, env),
            kind=CHANGED,
            from_level=payload.from_level,
            to_level=payload.to_level,
            max_level=payload.max_level or 0,
            seed=self._names.number(event.seed_id),
            blueprint=self._names.number(payload.blueprint_id),
            timestamp=_written(event),
        )
        self._add(env, payload.slot_id, change, payload.env_id)

    def handle_internal_op_metrics(self, event: TelemetryEvent) -> None:
        """The training's own windowed rate, shown beside the pooled one."""
        env = self._env(event)
        env.add_rate(event.data.slot_id, WindowRate(*self._place(event, env), event.data.reversal_rate))

    def handle_counterfactual_delta(self, event: TelemetryEvent) -> None:
        """What happened after an op, for the effects."""
        payload = event.data
        env = self._env(event)
        outcome = Outcome(
            *self._place(event, env),
            slot=self._names.number(payload.slot_id),
            op=payload.op,
            op_epoch=packed(event.epoch if payload.epoch is None else payload.epoch),
            from_level=payload.from_level,
            to_level=payload.to_level,
            n_baseline=payload.baseline_sample_count,
            loss_advantage=_difference(payload.loss_delta, payload.baseline_loss_delta),
            accuracy_advantage=_difference(payload.accuracy_delta, payload.baseline_accuracy_delta),
            op_probability=_NAN if payload.op_probability is None else payload.op_probability,
        )
        env.add_outcome(outcome)

    def handle_seed_germinated(self, event: TelemetryEvent) -> None:
        """A new seed gets its row, also one without a ladder."""
        payload = event.data
        env = self._env(event)
        germinated = SlotEvent(
            *self._place(event, env),
            kind=GERMINATED,
            to_level=payload.level or 0,
            max_level=payload.max_level or 0,
            seed=self._names.number(event.seed_id),
            blueprint=self._names.number(payload.blueprint_id),
            timestamp=_written(event),
        )
        self._add(env, payload.slot_id, germinated, payload.env_id)

    def handle_seed_pruned(self, event: TelemetryEvent) -> None:
        """A pruned seed loses its row; its ops stay counted."""
        self._removed(event, event.data, PRUNED)

    def handle_seed_fossilized(self, event: TelemetryEvent) -> None:
        """A fossilized seed's row is dimmed: its level can't change any more."""
        self._removed(event, event.data, FOSSILIZED)

    def handle_decision(self, event: TelemetryEvent) -> None:
        """What the policy decided tells, after a resumption, what was taken back."""
        payload = event.data
        if event.epoch is not None and payload.episode_idx is not None:
            env = self._env(event)
            place = payload.episode_idx, event.epoch
            env.decisions.add(place, env.attempt, self._names.number(payload.slot_id), payload.action_name)

    def handle_epoch_completed(self, event: TelemetryEvent) -> None:
        """The environment's clock goes on, by which a level is stable or not."""
        self._env(event).epoch_completed(event.data.episode_idx, event.epoch)

    def handle_episode_outcome(self, event: TelemetryEvent) -> None:
        """The environment's next events belong to a new episode."""
        self._env(event).episode_ended(event.data.episode_idx, event.epoch)

    def begin_attempt(self, rank: int, attempt: int) -> None:
        """A rank's file was opened anew: its training was resumed, or run again."""
        self._attempts[rank] = attempt
        for env in self._envs_of(rank):
            env.begin_attempt(attempt)

    def resume_at(self, rank: int, episode: int, epoch: int) -> None:
        """A rank says which epoch its checkpoint held; what it reported of later ones is withdrawn."""
        for env in self._envs_of(rank):
            env.resume_at((episode, epoch))

    def share(self, rank: int) -> None:
        """A rank says that it holds copies of what other ranks have: of those the lowest alone counts."""
        self._sharing.add(rank)
        self._now = None

    def envs(self) -> list[EnvLog]:
        """All environments that count, in the order in which they appeared."""
        return [env for envs in self._counted().values() for env in envs.values()]

    def to_snapshot(self, at: Position | None = None) -> dict[SlotKey, SlotInternalState]:
        """A row for each slot that holds a seed, judged together with all other slots of the run."""
        return self.to_rows(self.verdicts(at), at)

    def verdicts(self, at: Position | None = None) -> list[SlotVerdict]:
        """The judgement on every slot that had an op, the worst first."""
        return self.judge(self.counts(at))

    def judge(self, counts: list[SlotCounts]) -> list[SlotVerdict]:
        """As ``verdicts``, where the counts are known already."""
        return self._judge.judge(counts)

    def counts(self, at: Position | None = None) -> list[SlotCounts]:
        """The counts of every slot that had an op, a pruned seed's too."""
        counts = []
        for moment in self._moments(at):
            counts += self._counts.read(moment)
        return counts

    def to_rows(
        self, verdicts: list[SlotVerdict], at: Position | None = None
    ) -> dict[SlotKey, SlotInternalState]:
        """As ``to_snapshot``, where ``verdicts`` are known already."""
        judged: Judged = defaultdict(
            lambda: (None, None),
            zip(map(_slot_of, verdicts), zip(verdicts, range(len(verdicts)), strict=True), strict=True),
        )
        rows: dict[SlotKey, SlotInternalState] = {}
        for moment in self._moments(at):
            self._rows.read(moment, judged, rows)
        return rows

    def changes(self, at: Position | None = None) -> tuple[LevelChange, ...]:
        """The latest level changes, begins and ends of seeds, the newest last."""
        moments = self._moments(at)
        return self._changes.read(moments) if at is None and not self._sharing else latest_changes(moments)

    def effects(self, at: Position | None = None) -> tuple[Effect, ...]:
        """What the ops did against the NOOP baseline, by name."""
        return effects(moment.env.outcomes.stats(moment.tick) for moment in self._moments(at))

    def first_thrash(
        self, verdicts: list[SlotVerdict], at: Position | None = None
    ) -> tuple[Position, SlotKey] | None:
        """Where the earliest of the slots that are named as thrashing began to, and which one it is.

        Args:
            verdicts: those that are named first.
            at: see above.
        """
        named: defaultdict[int | None, list[str]] = defaultdict(list)
        for verdict in takewhile(attrgetter("thrashing"), verdicts):
            named[verdict.env_id].append(verdict.slot_id or "")
        if not named:
            return None
        starts = [
            (start, (moment.env_id, slot_id))
            for moment in self._moments(at)
            if moment.env_id in named
            for slot_id in named[moment.env_id]
            if slot_id in moment.env.slots
            and (start := moment.thrash_start(moment.env.slots[slot_id])) is not None
        ]
        return min(starts, key=itemgetter(0), default=None)

    def slot_history(self, key: SlotKey, limit: int, at: Position | None = None) -> tuple[SlotOp, ...]:
        """A slot's latest ops, the newest last; none of a slot that is not known."""
        env_id, slot_id = key
        for moment in self._moments(at):
            if moment.env_id == env_id and slot_id in moment.env.slots:
                return slot_history(moment, slot_id, self._names, limit)
        return ()

    def _removed(
        self, event: TelemetryEvent, payload: SeedPrunedPayload | SeedFossilizedPayload, kind: int
    ) -> None:
        env = self._env(event)
        removed = SlotEvent(*self._place(event, env), kind=kind, timestamp=_written(event))
        self._add(env, payload.slot_id, removed, payload.env_id)

    def _add(self, env: EnvLog, slot_id: str, event: SlotEvent, env_id: int | None) -> None:
        env.add(slot_id, event)
        self._changes.add(event, env_id, slot_id)

    def _place(self, event: TelemetryEvent, env: EnvLog) -> tuple[int, int, int, int]:
        self._arrivals += 1
        return self._arrivals, env.attempt, packed(event.data.episode_idx), packed(event.epoch)

    def _env(self, event: TelemetryEvent) -> EnvLog:
        rank, env_id = event.rank or 0, event.data.env_id
        if rank not in self._ranks:
            self._ranks[rank] = {}
        envs = self._ranks[rank]
        if env_id not in envs:
            self._now = None
            envs[env_id] = EnvLog(self._attempts[rank], self._names.number)
        return envs[env_id]

    def _envs_of(self, rank: int) -> list[EnvLog]:
        return list(self._ranks[rank].values()) if rank in self._ranks else []

    def _counted(self) -> dict[int, dict[int | None, EnvLog]]:
        if not self._sharing:
            return self._ranks
        lowest = min(self._sharing)
        return {rank: envs for rank, envs in self._ranks.items() if rank == lowest}

    def _moments(self, at: Position | None) -> list[Moment]:
        if at is None and self._now is not None:
            return self._now
        moments = [
            Moment(rank, env_id, env, env.timeline.tick_at(at))
            for rank, envs in self._counted().items()
            for env_id, env in envs.items()
        ]
        if at is None:
            self._now = moments
        return moments


def _written(event: TelemetryEvent) -> bytes:
    written = (event.timestamp or "").encode()
    return written if len(written) <= TIME_BYTES else b""


def _difference(value: float | None, baseline: float | None) -> float:
    return _NAN if value is None or baseline is None else value - baseline
