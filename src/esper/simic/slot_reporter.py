"""From what happens in a slot to the recorder."""

from __future__ import annotations

from esper.kasmina import Seed
from esper.simic.tally import Tally
from esper.simic.training.recorder import FOSSILIZED, InternalOpRecorder

__all__ = ["SlotReporter"]


class SlotReporter:
    """Tells the recorder, and the tally, what happens in the slots of one environment; a SeedObserver."""

    def __init__(self, recorder: InternalOpRecorder, tally: Tally, env: int) -> None:
        self._recorder = recorder
        self._tally = tally
        self._env = env

    def germinated(self, slot_id: str, blueprint: str, seed: Seed) -> None:
        self._recorder.seed_added(
            self._env,
            slot_id,
            seed.level,
            seed.max_level,
            blueprint=blueprint,
            params=seed.active_param_count(),
        )

    def level_changed(self, slot_id: str, from_level: int, to_level: int, active_params: int) -> None:
        self._tally.moved(self._env, slot_id, 1 if to_level > from_level else -1)
        self._recorder.level_changed(self._env, slot_id, from_level, to_level, active_params=active_params)

    def stage_changed(self, slot_id: str, from_stage: str, to_stage: str) -> None:
        self._recorder.stage_changed(self._env, slot_id, from_stage, to_stage)

    def pruned(self, slot_id: str) -> None:
        self._tally.seed_gone(self._env, slot_id)
        self._recorder.seed_removed(self._env, slot_id, "policy")

    def fossilized(self, slot_id: str) -> None:
        self._recorder.seed_removed(self._env, slot_id, FOSSILIZED)
