"""Which slots are shown, and in which order. Pure: states and wishes in, rows out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from esper.karn.sanctum.columns import SlotRow
from esper.karn.sanctum.state import SanctumSnapshot, SlotInternalState, SlotKey
from esper.leyline.errors import unknown_name
from esper.leyline.thresholds import BANDS

SORTS = ("thrash", "level", "last change")
"""Ways to sort, the first one when Sanctum opens."""
FIELDS = ("env", "slot", "blueprint", "band", "rank")
"""What a filter can ask for by name."""
FOLD_ABOVE = 40
"""Rows up to which every slot has its own."""
HELD_S = 2.0
"""Seconds for which rows keep their places: rows that change them four times a second can't be read."""

_DIGITS = re.compile(r"(\d{1,18})")
_QUIET = ("healthy", "insufficient_data")

Key = SlotKey | str
States = Mapping[SlotKey, SlotInternalState] | Mapping[Key, SlotInternalState]


class FoldRow(NamedTuple):
    """The slots of one rank that need no look, folded into one row."""

    rank: int
    healthy: int
    too_few: int
    """Slots with too few pairs of ops to be called healthy."""
    no_ladder: int
    unfolded: bool
    """Whether their own rows follow."""

    @property
    def key(self) -> int:
        """What tells it from other rows."""
        return self.rank

    @property
    def slots(self) -> int:
        """How many are folded."""
        return self.healthy + self.too_few + self.no_ladder

    @property
    def text(self) -> str:
        """What there is: "rank 0: 37 healthy slots, 2 with insufficient data"."""
        healthy = f"{self.healthy:,} healthy slot{'' if self.healthy == 1 else 's'}" if self.healthy else ""
        too_few = f"{self.too_few:,} with insufficient data" if self.too_few else ""
        none = f"{self.no_ladder:,} without a ladder" if self.no_ladder else ""
        return f"rank {self.rank}: " + ", ".join(filter(None, (healthy, too_few, none)))


Row = SlotRow | FoldRow


@dataclass(frozen=True)
class ViewOptions:
    """How a person wants to see the slots."""

    filter: str = ""
    """What a slot must match: ``env:3``, ``slot:r0``, ``blueprint:conv``, ``band:thrash,caution``,
    ``rank:0``, or any text within its name, blueprint, band or verdict."""
    sort: str = SORTS[0]
    pinned: frozenset[Key] = frozenset()
    """Slots that stand first, whatever the sort."""
    unfolded: frozenset[int] = frozenset()
    """Ranks whose healthy slots are shown."""
    fold_above: int | None = FOLD_ABOVE
    """Rows from which on healthy slots are folded; None folds none."""


def arrange(snapshot: SanctumSnapshot, options: ViewOptions) -> list[Row]:
    """The rows of a snapshot: pinned slots, then the others sorted, the healthy ones folded per rank.

    Only the order by thrash folds, and only without a filter: whoever asks for more wants to see the slots.
    """
    return arrange_slots(snapshot.slots, options)


def arrange_slots(states: States, options: ViewOptions) -> list[Row]:
    """As ``arrange``, for slots that come without a snapshot."""
    query = parse_query(options.filter)
    order = _ORDERS[options.sort]
    rows = [SlotRow(key, state, key in options.pinned) for key, state in states.items()]
    if query != Query():
        rows = [row for row in rows if query.matches(row)]
    rows.sort(key=lambda row: (not row.pinned, order(row)))
    folds = options.sort == SORTS[0] and not options.filter.strip()
    if not folds or options.fold_above is None or len(rows) <= options.fold_above:
        return list(rows)
    return _folded(rows, options.unfolded)


def renew(rows: Sequence[Row], states: States, options: ViewOptions, known: Set[Key]) -> list[Row]:
    """The same rows in the same places, each with the state that its slot has now.

    Slots that are gone leave their places, and new ones that need a look stand below the others.

    Args:
        rows: as arranged before.
        states: of all slots.
        options: as they were then.
        known: the slots that there were then, folded ones too.
    """
    found: Mapping[Key, SlotInternalState] = dict(states.items())
    old: list[Row] = [
        row._replace(state=found[row.key]) if isinstance(row, SlotRow) else row
        for row in rows
        if isinstance(row, FoldRow) or row.key in found
    ]
    if found.keys() <= known:
        return old
    new = {key: state for key, state in found.items() if key not in known}
    end = next((place for place, row in enumerate(old) if isinstance(row, FoldRow)), len(old))
    if end < len(old):
        new = {key: state for key, state in new.items() if not _is_quiet(state)}
    return [*old[:end], *arrange_slots(new, replace(options, fold_above=None)), *old[end:]]


class Arranger:
    """Arranges snapshot after snapshot, and keeps rows in their places for a moment."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._key: object = None
        self._slots: Set[Key] = frozenset()
        self._at: datetime | None = None
        self._renewed = False

    def rows(self, snapshot: SanctumSnapshot, options: ViewOptions, now: datetime) -> list[Row]:
        """The rows at ``now`` (UTC)."""
        key = (options, snapshot.run.run_dir, snapshot.run.over, snapshot.moment, snapshot.run.behind)
        if key != self._key or not self._slots or snapshot.run.over or self._held(now):
            self._key, self._at, self._renewed = key, now, False
            self._rows = arrange(snapshot, options)
        else:
            self._rows, self._renewed = renew(self._rows, snapshot.slots, options, self._slots), True
        self._slots = snapshot.slots.keys()
        return self._rows

    def due(self, now: datetime) -> bool:
        """Whether rows that have new states may take new places."""
        return self._renewed and self._held(now)

    def _held(self, now: datetime) -> bool:
        # A clock that was set back must not hold them for hours.
        return self._at is None or abs((now - self._at).total_seconds()) >= HELD_S


class Query(NamedTuple):
    """A filter or a search, taken apart; each part must match, and None or nothing matches everything."""

    env: str | None = None
    rank: str | None = None
    slot: str = ""
    """Within the slot's name, in any case."""
    blueprint: str = ""
    bands: tuple[str, ...] | None = None
    words: tuple[str, ...] = ()
    """Each within the slot's name, blueprint, band or verdict."""

    def matches(self, row: SlotRow) -> bool:
        """Whether a row is of what is asked for."""
        state, slot = row.state, row.name.casefold()
        blueprint = (state.blueprint_id or "").casefold()
        # A slot without a ladder has no band.
        band = state.band if state.has_ladder else ""
        label = "" if state.verdict is None else state.verdict.label
        return (
            self.env in (None, str(state.env_id))
            and self.rank in (None, str(state.rank))
            and self.slot in slot
            and self.blueprint in blueprint
            and (self.bands is None or band in self.bands)
            and all(any(word in text for text in (slot, blueprint, band, label)) for word in self.words)
        )


def parse_query(text: str) -> Query:
    """A filter or a search as it is typed: ``env:3 band:watch,caution r0c1``."""
    query = Query()
    for word in text.casefold().split():
        field, colon, wanted = word.partition(":")
        if not colon or field not in FIELDS:
            query = query._replace(words=(*query.words, word))
        elif wanted and field == "band":
            starts = tuple(filter(None, wanted.split(",")))
            query = query._replace(bands=tuple(band for band in BANDS if band.startswith(starts)))
        elif wanted and field == "env":
            query = query._replace(env=wanted)
        elif wanted and field == "rank":
            query = query._replace(rank=wanted)
        elif wanted and field == "slot":
            query = query._replace(slot=wanted)
        elif wanted:
            query = query._replace(blueprint=wanted)
    return query


def why_no_match(text: str) -> str:
    """What to say where nothing matches a filter or a search; of an unknown field or band, the known."""
    for word in text.casefold().split():
        field, colon, wanted = word.partition(":")
        if colon and field not in FIELDS:
            known = ", ".join(f"{name}:" for name in FIELDS)
            return f"no slot matches {word!r}; a filter can ask for {known}"
        for name in wanted.split(",") if field == "band" else ():
            if name and not any(band.startswith(name) for band in BANDS):
                return str(unknown_name("band", name, reversed(BANDS)))
    return f"no slot matches {text.strip()!r}"


def find(rows: Sequence[Row], query: str, start: int, step: int) -> int | None:
    """The place of the next row after ``start`` that matches, round the end; None if none does.

    Args:
        rows: as arranged.
        query: words as in a filter; none match nothing.
        start: the place to leave.
        step: 1 to look downwards, -1 upwards.
    """
    if not query.split():
        return None
    matches = parse_query(query).matches
    for away in range(1, len(rows) + 1):
        place = (start + step * away) % len(rows)
        row = rows[place]
        if isinstance(row, SlotRow) and matches(row):
            return place
    return None


def _folded(rows: list[SlotRow], unfolded: frozenset[int]) -> list[Row]:
    loud: list[Row] = []
    quiet: dict[int, list[SlotRow]] = {}
    for row in rows:
        if row.pinned or not _is_quiet(row.state):
            loud.append(row)
        else:
            quiet.setdefault(row.state.rank, []).append(row)
    for rank, folded in sorted(quiet.items()):
        bands = [row.state.band if row.state.has_ladder else "" for row in folded]
        counts = (bands.count("healthy"), bands.count("insufficient_data"), bands.count(""))
        loud.append(FoldRow(rank, *counts, unfolded=rank in unfolded))
        if rank in unfolded:
            loud.extend(folded)
    return loud


def _is_quiet(state: SlotInternalState) -> bool:
    # Sweeping has a low rate, and is named all the same.
    named = state.verdict is not None and (state.verdict.thrashing or state.verdict.sweeping)
    return not named and (not state.has_ladder or state.band in _QUIET)


def _by_thrash(row: SlotRow) -> tuple[object, ...]:
    state = row.state
    return (state.place is None, state.place or 0, -state.reversal_rate, *_by_name(row))


def _by_level(row: SlotRow) -> tuple[object, ...]:
    return (-row.state.level, *_by_thrash(row))


def _by_change(row: SlotRow) -> tuple[object, ...]:
    state = row.state
    never = state.last_change_epoch is None
    return (never, -(state.episode_idx or 0), -(state.last_change_epoch or 0), *_by_thrash(row))


def _by_name(row: SlotRow) -> tuple[object, ...]:
    return (-1 if row.state.env_id is None else row.state.env_id, _natural(row.name[:200]))


@lru_cache(1 << 14)
def _natural(name: str) -> list[tuple[int, str]]:
    # r0c2 comes before r0c10.
    return [(int(part), "") if part.isdecimal() else (0, part) for part in _DIGITS.split(name)]


_ORDERS: Mapping[str, Callable[[SlotRow], tuple[object, ...]]] = {
    "thrash": _by_thrash,
    "level": _by_level,
    "last change": _by_change,
}
