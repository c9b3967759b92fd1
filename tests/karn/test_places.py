"""An environment or slot without an internal op is not called unknown."""

from __future__ import annotations

from pathlib import Path

import pytest

from esper.karn.store.effects import op_answer
from esper.karn.store.evidence import thrash_verdict
from esper.leyline.errors import NotFoundError
from store_support import event, level_change, open_store, write_lines


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ops in env 0 r0c0; env 1 completes epochs, slot r0c2 has a seed; neither has an op."""
    place = {"env_id": 1, "slot_id": "r0c2", "episode_idx": 0}
    write_lines(
        tmp_path / "run/events.jsonl",
        level_change(0, 1, 2, epoch=1),
        event("EPOCH_COMPLETED", 1, epoch=1, env_id=1, episode_idx=0),
        event("SEED_GERMINATED", 2, epoch=1, **place),
    )
    return tmp_path


@pytest.mark.parametrize("asked", [{"env_id": 1}, {"slot_id": "r0c2"}])
def test_what_has_no_op_is_said_to_have_none(folder: Path, asked: dict[str, object]) -> None:
    ((name, value),) = asked.items()
    what = {"env_id": "environment", "slot_id": "slot"}[name]
    says = f"{what} {value} of run run has no internal op"
    with open_store(folder) as store:
        with pytest.raises(NotFoundError, match=says):
            thrash_verdict(store, **asked)
        with pytest.raises(NotFoundError, match=says):
            op_answer(store, None, "GROW_INTERNAL", **asked)


@pytest.mark.parametrize("asked", [{"env_id": 7}, {"slot_id": "r0c9"}])
def test_what_the_run_never_speaks_of_is_unknown(folder: Path, asked: dict[str, object]) -> None:
    with open_store(folder) as store:
        with pytest.raises(NotFoundError, match="unknown"):
            thrash_verdict(store, **asked)
        with pytest.raises(NotFoundError, match="unknown"):
            op_answer(store, None, "GROW_INTERNAL", **asked)
