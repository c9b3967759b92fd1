"""Fixtures of the trainer's and the recorder's tests."""

from __future__ import annotations

import pytest

from esper.simic.training.recorder import InternalOpRecorder
from support import ListSink


@pytest.fixture
def recorder(sink: ListSink) -> InternalOpRecorder:
    """A recorder with one seed of four levels in slot r0c0 of environment 0, one epoch done."""
    recorder = InternalOpRecorder(sink)
    recorder.seed_added(0, "r0c0", 1, 4, blueprint="conv_ladder", params=100)
    recorder.epoch_end(0, 1, loss=1.0, accuracy=0.5, params=1000)
    sink.events.clear()
    return recorder
