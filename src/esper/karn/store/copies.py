"""Where ranks hold copies of the same environments, one rank's events stand for all of them.

An answer would otherwise take every copy for evidence of its own. The views leave nothing out.
"""

from __future__ import annotations

from esper.karn.store.database import Snapshot, Store
from esper.karn.textout import counted

ONE_OF_MANY = """
    SELECT min(rank) FROM live.training_started
    WHERE run_dir = $1 AND config ->> '$.shared_hosts' = 'true'"""
"""The rank that stands for all; null where each rank has environments of its own. ``$1`` is the run."""

COUNTED = f"rank IS NOT DISTINCT FROM coalesce(({ONE_OF_MANY}), rank)"
"""Whether a row counts, of whatever has a ``rank``."""

OF_RUN = f"run_dir = $1 AND {COUNTED}"
"""The rows of a run that count."""

COUNTED_DELTA = f"""(
        ({ONE_OF_MANY}) IS NULL
        OR env_id IN (SELECT env_id FROM live.counterfactual_delta WHERE {OF_RUN})
    )"""
"""As COUNTED, of ``counterfactual_deltas``, which has no ``rank``."""

_RANKS = f"SELECT ({ONE_OF_MANY}), count(DISTINCT rank) FROM live.training_started WHERE run_dir = $1"


def copies_note(now: Snapshot, run_dir: str) -> str | None:
    """What the reader of a verdict must know of copies; None where there are none."""
    rank, ranks = now.select(_RANKS, [run_dir]).rows[0]
    return None if rank is None or ranks < 2 else f"{_copies(ranks)}: rank {rank}'s are counted"


def copies_in_rows(store: Store, run_dir: str) -> str | None:
    """What the reader of a run's rows must know of copies; None where there are none."""
    if len({file.rank for file in store.event_files() if file.run_dir == run_dir}) < 2:
        return None  # without asking the tables, as most runs
    rank, ranks = store.select(_RANKS, [run_dir]).rows[0]
    if rank is None or ranks < 2:
        return None
    return f"{_copies(ranks)}, and every rank's rows are here: n counts each copy"


def _copies(ranks: int) -> str:
    return f"{counted(ranks, 'rank')} hold copies of the same environments"
