"""What Sanctum knows at one moment: plain typed values, no widget and no event in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from esper.karn.diagnosis import Effect, SlotVerdict, thrash_together
from esper.leyline.thresholds import MIN_PAIRS, band, indicator

Position = tuple[int, int]
"""Episode, and epoch within it."""

SlotKey = tuple[int | None, str]
"""Environment and slot. Slot names repeat in every environment; the environment is unique over ranks."""


ChangeKind = Literal["changed", "germinated", "pruned", "fossilized"]
"""A level that changed; a seed that was planted, taken out, or made a lasting part of its host."""


@dataclass
class SlotInternalState:
    """Typed state for internal level display: one row of the table."""

    level: int
    max_level: int
    trend: str
    """grow, shrink or stable: the seed had no op lately, or none at all."""
    reversal_rate: float
    """Share of reversals among consecutive ops, 0 to 1: pooled over the run where ``n_pairs`` is known."""
    env_id: int | None = None
    slot_id: str = ""
    seed_id: str | None = None
    n_pairs: int | None = None
    """Pairs behind ``reversal_rate``; None where it was given without its evidence."""
    window_reversal_rate: float | None = None
    """The rate that the training itself reported last, over its window of ops."""
    fossilized: bool = False
    """The seed became a part of its host: its level can't change any more."""
    outdated: bool = False
    """A newer episode of this environment has begun without a word about this slot."""
    episode_idx: int | None = None
    last_change_epoch: int | None = None
    """Epoch within ``episode_idx`` of the last level change, None before the first."""
    verdict: SlotVerdict | None = None
    """The judgement on this slot over the whole run, with every number behind it."""
    place: int | None = field(default=None, compare=False)
    """Place among the run's slots in the latest snapshot, the worst first, from 0; None without a verdict. It
    is no part of what the row says."""
    rank: int = 0
    """The process that trains the environment."""
    blueprint_id: str | None = None
    """Kind of seed, where the events say so."""
    levels: tuple[int, ...] = ()
    """The seed's level before the first of its latest changes, then after each of them, the newest last."""

    def judged(self, verdict: SlotVerdict | None) -> SlotInternalState:
        """The same row under a verdict of the same rate.

        With each slot that can be judged, hundreds of others have another verdict; ``replace`` would take ten
        times as long.
        """
        other = object.__new__(SlotInternalState)
        # A copy shares its keys with all other rows, where a new dict would hold its own.
        fields = self.__dict__.copy()
        fields["verdict"] = verdict
        other.__dict__ = fields
        return other

    @property
    def has_ladder(self) -> bool:
        """Whether the seed has internal levels at all."""
        return self.max_level > 0

    @property
    def band(self) -> str:
        """The word for the reversal rate."""
        return band(self.reversal_rate, self._evidence)

    @property
    def indicator(self) -> str | None:
        """The colour for the reversal rate."""
        return indicator(self.reversal_rate, self._evidence)

    @property
    def _evidence(self) -> int:
        # A rate that came without its pairs is taken at its word.
        return MIN_PAIRS if self.n_pairs is None else self.n_pairs


@dataclass(frozen=True)
class LevelChange:
    """One internal op, or the begin or end of a seed, for the event log."""

    env_id: int | None
    slot_id: str
    episode_idx: int | None
    epoch: int | None
    from_level: int | None
    """None where nothing grew or shrank."""
    to_level: int | None
    """Of a seed that germinated: where it begins. None where the event says no level."""
    max_level: int | None
    """None where the event does not say it."""
    timestamp: str | None
    kind: ChangeKind = "changed"


@dataclass(frozen=True)
class SlotOp:
    """One internal op of a slot, or the begin or end of a seed in it, for the slot's page.

    Advantages are against the NOOP baseline.
    """

    episode: int | None
    epoch: int | None
    from_level: int | None
    """None where nothing grew or shrank."""
    to_level: int | None
    """As LevelChange's."""
    reversal: bool
    """Whether it went the other way than the same seed's op before it."""
    free: bool
    """Whether it could have gone either way: the level before it is neither 0 nor the highest."""
    seed_id: str | None
    loss_advantage: float | None = None
    """Positive is worse; None without an outcome."""
    accuracy_advantage: float | None = None
    """Fraction; positive is better."""
    op_probability: float | None = None
    """The joint probability of op and slot as carried out: what a holdout would hold back is taken off."""
    kind: ChangeKind = "changed"


@dataclass(frozen=True)
class RunRow:
    """One run among those that can be chosen."""

    run_dir: str
    status: str
    """As RunPosition's, but by the ends of its files alone."""
    last_event_at: datetime | None
    """UTC."""
    size_bytes: int
    files: int


@dataclass(frozen=True)
class RunPosition:
    """How far a run was read, and what its files are like."""

    run_dir: str | None = None
    status: str = "waiting"
    """waiting (no file yet), empty (no event yet), running, silent, crashed, finished, or gone (the files
    were deleted; what is known is what they held)."""
    outcome: str | None = None
    """How the training says that it ended, where that is anything but "completed"."""
    ranks: int = 0
    """Event files."""
    world_size: int = 0
    """Ranks that the run has by what its files say; the files where none says more."""
    events: int = 0
    bad_lines: int = 0
    missing: int = 0
    """Events that the sequence numbers say are not there."""
    dropped: int = 0
    """Events that the writer says it could not write; they are missing, too."""
    last_event_at: datetime | None = None
    """UTC."""
    bytes_read: int = 0
    bytes_total: int = 0
    behind: bool = False
    """The files hold more whole lines than were read."""
    events_per_s: float | None = None
    """Of the last seconds, by the events' own timestamps; None where that says nothing."""

    @property
    def over(self) -> bool:
        """Whether no more events are to be expected."""
        return self.status in ("finished", "crashed", "gone")


@dataclass(frozen=True)
class SanctumSnapshot:
    """Everything that the screen shows."""

    run: RunPosition = field(default_factory=RunPosition)
    slots: dict[SlotKey, SlotInternalState] = field(default_factory=dict)
    """One row per seed that lives, or lived when its episode ended."""
    verdicts: tuple[SlotVerdict, ...] = ()
    """Every slot that had an op, those of pruned seeds too, the worst first."""
    n_pairs: int = 0
    n_reversals: int = 0
    changes: tuple[LevelChange, ...] = ()
    """The latest level changes, begins and ends of seeds, the newest last."""
    effects: tuple[Effect, ...] = ()
    """What GROW and SHRINK did against the NOOP baseline, by the same rules as the verdict's effects."""
    moment: Position | None = None
    """Where in the run's history this is; None for its end, as far as it was read."""
    first_thrash: Position | None = None
    """Where the earliest of the slots that are named as thrashing began to."""
    first_thrash_slot: SlotKey | None = None
    """Which slot that is."""

    @property
    def reversal_rate(self) -> float | None:
        """Pooled over the run, None without a pair."""
        return self.n_reversals / self.n_pairs if self.n_pairs else None

    @property
    def band(self) -> str:
        """The run's band: that of its pooled rate."""
        return band(self.reversal_rate, self.n_pairs)

    @property
    def n_free_pairs(self) -> int:
        """Pairs of all slots whose second op could have gone either way."""
        return sum(verdict.n_free_pairs for verdict in self.verdicts)

    @property
    def n_free_reversals(self) -> int:
        """Reversals among them."""
        return sum(
            round(verdict.free_reversal_rate * verdict.n_free_pairs)
            for verdict in self.verdicts
            if verdict.free_reversal_rate is not None
        )

    @property
    def without_seed(self) -> tuple[SlotVerdict, ...]:
        """Those on slots that hold no seed now, and so have no row."""
        return tuple(
            verdict for verdict in self.verdicts if (verdict.env_id, verdict.slot_id or "") not in self.slots
        )

    @property
    def thrashing_together(self) -> bool:
        """Whether all slots together thrash beyond chance, though none of them may be named."""
        return thrash_together(self.n_free_reversals, self.n_free_pairs)

    @property
    def thrashing(self) -> tuple[SlotVerdict, ...]:
        """The slots that are named as thrashing."""
        return tuple(verdict for verdict in self.verdicts if verdict.thrashing)
