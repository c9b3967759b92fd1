"""Reads the levels of a run's worst slots over time, for a picture and for a sparkline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from esper.karn.diagnosis import SlotReport
from esper.karn.plotting.curves import Episode, Reversal, RunLevels, SeedCurve, SlotLevels
from esper.karn.store import levels_sql as sql
from esper.karn.store.database import Snapshot, Store
from esper.karn.store.evidence import thrash_verdict
from esper.karn.textout import counted

MAX_SLOTS = 12
"""Panels of a picture that can still be read."""

_Key = tuple[int | None, str | None]
_Episodes = dict[int | None, Episode]


def run_levels(
    store: Store, run_dir: str | None = None, env_id: int | None = None, slot_id: str | None = None
) -> RunLevels:
    """The levels of a run's slots over time, the worst of them.

    Args:
        store: the store, refreshed by the caller.
        run_dir: the run; the latest if None.
        env_id: only this environment's slots.
        slot_id: only slots of this name.

    Raises:
        NotFoundError: on an unknown run, environment or slot; names the nearest.
    """
    verdict = thrash_verdict(store, run_dir, env_id, slot_id)
    shown = verdict.slots[:MAX_SLOTS]
    with store.snapshot() as now:
        slots, cut = _slots(now, verdict.run_dir, shown)
    notes = [note for note in verdict.notes if not note.startswith("the slots are judged")]
    if not verdict.slots:
        notes.insert(0, "nothing to plot: the run has no SEED_INTERNAL_LEVEL_CHANGED")
    if len(verdict.slots) > len(shown):
        rest = len(verdict.slots) - len(shown)
        notes.insert(0, f"{counted(rest, 'slot')} beyond these: name one with env_id and slot_id")
    if len(slots) < len(shown):
        notes.insert(0, f"{counted(len(shown) - len(slots), 'slot')} left out: no epoch in the level changes")
    if cut:
        notes.insert(0, f"{counted(cut, 'slot')} shown from the last {sql.MAX_CHANGES:,} changes on")
    return RunLevels(
        run_dir=verdict.run_dir,
        status=verdict.status,
        label=verdict.label,
        slots=slots,
        n_slots=len(verdict.slots),
        notes=notes,
    )


def _slots(now: Snapshot, run_dir: str, shown: Sequence[SlotReport]) -> tuple[list[SlotLevels], int]:
    """The slots' levels, and how many of them have more changes than were read."""
    asked = [run_dir, [slot.env_id for slot in shown], [slot.slot_id for slot in shown]]
    axes: dict[int | None, _Episodes] = {}
    for row in now.select(sql.EPISODES, asked).dicts():
        axis = axes.setdefault(row["env_id"], {})
        start = sum(episode.length for episode in axis.values())
        axis[row["episode_idx"]] = Episode(start, row["length"])
    changes = _by_slot(now.select(sql.CHANGES, asked).dicts())
    reversals = _by_slot(now.select(sql.REVERSALS, asked).dicts())
    slots = []
    for slot in shown:
        key = (slot.env_id, slot.slot_id)
        if slot.env_id in axes:
            slots.append(_slot(slot, axes[slot.env_id], changes.get(key, []), reversals.get(key, [])))
    return slots, sum(len(rows) >= sql.MAX_CHANGES for rows in changes.values())


def _by_slot(rows: Iterable[dict[str, Any]]) -> dict[_Key, list[dict[str, Any]]]:
    found: dict[_Key, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["env_id"], row["slot_id"]), []).append(row)
    return found


def _slot(
    slot: SlotReport, axis: _Episodes, changes: list[dict[str, Any]], reversals: list[dict[str, Any]]
) -> SlotLevels:
    seeds = _curves(changes, axis)
    highest = max((level for seed in seeds for _, level in seed.points), default=0)
    since, text = None, None
    if slot.since is not None and slot.since.epoch is not None and slot.since.episode_idx in axis:
        since = axis[slot.since.episode_idx].start + slot.since.epoch
        text = f"episode {slot.since.episode_idx} epoch {slot.since.epoch}"
    return SlotLevels(
        env_id=slot.env_id,
        slot_id=slot.slot_id,
        label=slot.label,
        max_level=max(highest, slot.max_level or 0),
        n_ops=slot.n_ops,
        n_pairs=slot.n_pairs,
        n_reversals=round((slot.reversal_rate or 0) * slot.n_pairs),
        episodes=list(axis.values()),
        seeds=seeds,
        reversals=[
            Reversal(axis[row["episode_idx"]].start + row["epoch"], row["middle_level"], bool(row["free"]))
            for row in reversals
        ],
        since=since,
        since_text=text,
    )


@dataclass
class _Open:
    """A seed whose end has not been read yet."""

    episode_idx: int | None
    seed_id: str | None
    points: list[tuple[int, int]] = field(default_factory=list)
    fossilized: int | None = None

    def closed(self, end: int) -> SeedCurve:
        return SeedCurve(points=self.points, end=end, fossilized=self.fossilized)


def _curves(changes: Sequence[dict[str, Any]], axis: _Episodes) -> list[SeedCurve]:
    """The seeds of one slot, from what happened to them in order."""
    seeds: list[SeedCurve] = []
    seed: _Open | None = None
    seen: set[int | None] = set()
    for row in changes:
        episode = axis.get(row["episode_idx"])
        if episode is None:  # the seed of an episode that has not completed an epoch
            continue
        x, kind = episode.start + row["epoch"], row["kind"]
        if seed is not None and seed.episode_idx != row["episode_idx"]:
            seeds.append(seed.closed(_end(axis[seed.episode_idx])))
            seed = None
        other = row["seed_id"] is not None and seed is not None and seed.seed_id != row["seed_id"]
        if seed is not None and (kind in ("germinated", "pruned") or other):
            seeds.append(seed.closed(x))
            seed = None
        if kind == "germinated" and row["to_level"] is not None:
            seed = _Open(row["episode_idx"], row["seed_id"], [(x, row["to_level"])])
        elif kind == "changed":
            if seed is None:  # nothing told of its beginning
                begun = x if row["episode_idx"] in seen else episode.start
                seed = _Open(row["episode_idx"], row["seed_id"], [(begun, row["from_level"])])
            seed.points.append((x, row["to_level"]))
        elif kind == "fossilized" and seed is not None:
            seed.fossilized = x
        seen.add(row["episode_idx"])
    if seed is not None:
        seeds.append(seed.closed(_end(axis[seed.episode_idx])))
    return seeds


def _end(episode: Episode) -> int:
    return episode.start + episode.length
