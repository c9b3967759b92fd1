"""No step of the vectorised trackers and recorder looks at a value.

A tensor on the ``meta`` device has a shape and no data, so whatever asks for a value raises there; where
there is a GPU, the same steps run with torch's own alarm for waiting on.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from esper.leyline import LifecycleOp
from esper.simic.vectorised.counterfactual import VectorCounterfactualTracker
from esper.simic.vectorised.internal_ops import VectorInternalOpTracker
from esper.simic.vectorised.recorder import VectorInternalOpRecorder
from support import ListSink

ENVS, SLOTS = 8, ("r0c0", "r0c1", "r1c0")
SHAPE = (ENVS, len(SLOTS))
GROW = int(LifecycleOp.GROW_INTERNAL)


@pytest.fixture(
    params=[
        "meta",
        pytest.param(
            "cuda",
            marks=pytest.mark.skipif(
                not torch.cuda.is_available(),
                reason="needs a CUDA GPU; the meta device stands in without one",
            ),
        ),
    ]
)
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """A device on which waiting for a value is an error."""
    yield request.param
    if request.param == "cuda":
        torch.cuda.set_sync_debug_mode("default")


def alarm(device: str) -> None:
    """From here on; what is made before a training may wait."""
    if device == "cuda":
        torch.cuda.set_sync_debug_mode("error")


class Inputs:
    """Tensors of every kind that a step takes."""

    def __init__(self, device: str) -> None:
        self.slots = torch.ones(SHAPE, dtype=torch.bool, device=device)
        self.envs = torch.ones(ENVS, dtype=torch.bool, device=device)
        self.loss = torch.ones(ENVS, device=device)
        self.epoch = torch.ones(ENVS, dtype=torch.int64, device=device)
        self.level = torch.ones(SHAPE, dtype=torch.int64, device=device)
        self.directions = torch.ones(SHAPE, dtype=torch.int8, device=device)
        self.probs = torch.ones(ENVS, len(LifecycleOp), device=device)


def test_the_inputs_alarm_does_raise_where_a_value_is_asked_for(device):
    inputs = Inputs(device)
    alarm(device)
    with pytest.raises(RuntimeError):
        inputs.slots.nonzero() if device == "cuda" else inputs.loss.sum().item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_step_of_the_op_tracker_waits_for_nothing(device, dtype):
    tracker, inputs = VectorInternalOpTracker(ENVS, SLOTS, device=device, dtype=dtype), Inputs(device)
    alarm(device)
    for epoch in (None, 3, inputs.epoch):
        metrics = tracker.record(inputs.directions, epoch)
    tracker.clear(inputs.slots)
    tracker.reset(inputs.envs)
    tracker.reset()
    assert {tuple(tensor.shape) for tensor in metrics.values()} == {SHAPE}
    assert {tensor.device.type for tensor in metrics.values()} == {device}


def test_a_step_of_the_counterfactual_tracker_waits_for_nothing(device):
    tracker, inputs = VectorCounterfactualTracker(ENVS, SLOTS, device=device), Inputs(device)
    alarm(device)
    for epoch in (3, inputs.epoch):
        tracker.record_op_start(
            inputs.slots,
            epoch,
            inputs.level,
            inputs.level,
            inputs.loss,
            inputs.loss,
            inputs.level,
            op_probability=inputs.loss,
        )
        outcome = tracker.record_op_outcome(
            inputs.loss, inputs.loss, inputs.level, epoch=epoch, env_mask=inputs.envs
        )
        tracker.record_noop_outcome(inputs.loss, inputs.loss, inputs.envs)
    tracker.clear_slot(inputs.slots)
    tracker.clear_env(inputs.envs)
    tracker.reset()
    assert outcome["mask"].device.type == device


def test_a_step_of_the_recorder_waits_for_nothing_until_emit(device):
    recorder, inputs = VectorInternalOpRecorder(ListSink(), ENVS, SLOTS, device=device), Inputs(device)
    alarm(device)
    recorder.seeds_added(inputs.slots, 1, 4, params=inputs.level)
    for epoch in (None, 2, inputs.epoch):
        recorder.decisions(
            inputs.epoch,
            inputs.epoch,
            probability=inputs.loss,
            op_probs=inputs.probs,
            reward=0.5,
            success=inputs.envs,
            env_mask=inputs.envs,
        )
        metrics = recorder.levels_changed(inputs.level, inputs.level, active_params=inputs.level)
        recorder.epoch_end(inputs.loss, inputs.loss, epoch=epoch, params=inputs.epoch, reward=inputs.loss)
    recorder.stages_changed(inputs.slots, "TRAINING", "BLENDING")
    recorder.seeds_removed(inputs.slots, "policy", improvement=1.0)
    recorder.episode_end(inputs.envs)
    recorder.episode_end(keep_seeds=True)
    assert recorder.waiting == 14
    assert metrics["reversal_rate"].device.type == device


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU to compare with the CPU")
def test_a_gpu_computes_what_the_cpu_does():
    generator = torch.Generator().manual_seed(0)
    on_cpu = VectorInternalOpTracker(ENVS, SLOTS, 5)
    on_gpu = VectorInternalOpTracker(ENVS, SLOTS, 5, device="cuda")
    for epoch in range(100):
        directions = torch.randint(-1, 2, SHAPE, generator=generator, dtype=torch.int8)
        expected = on_cpu.record(directions, epoch)
        found = on_gpu.record(directions.cuda(), epoch)
        for name, tensor in expected.items():
            assert torch.equal(found[name].cpu().nan_to_num(-1), tensor.nan_to_num(-1))
