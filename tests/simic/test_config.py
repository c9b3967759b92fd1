"""The config: what can't be is refused in one line that names every wrong field."""

from __future__ import annotations

from typing import Any

import pytest

from esper.leyline.errors import TelemetryUsageError
from esper.simic.config import TrainConfig


def test_the_defaults_are_valid() -> None:
    assert TrainConfig().slot_ids == ["r0c0", "r0c1", "r0c2"]


@pytest.mark.parametrize(
    ("field", "value", "right"),
    [
        ("n_envs", 0, "at least 1"),
        ("n_episodes", -1, "at least 1"),
        ("window_size", 0, "at least 1"),
        ("checkpoint_every", 0, "at least 1"),
        ("seed", -1, "0 to"),
        ("seed", 2**63, "0 to"),
        ("lr", 0.0, "above 0"),
        ("lr", float("nan"), "above 0"),
        ("train_images", 1398, "1 to 1397"),
        ("exploration", 1.5, "0 to 1"),
        ("intervention_cost", -0.1, "0 or more"),
        ("param_rent", float("inf"), "0 or more and finite"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_right(field: str, value: Any, right: str) -> None:
    with pytest.raises(TelemetryUsageError, match=f"{field} must be {right}"):
        TrainConfig(**{field: value})


def test_all_wrong_values_are_in_one_line() -> None:
    with pytest.raises(TelemetryUsageError) as error:
        TrainConfig(n_envs=0, lr=-1.0)
    assert str(error.value) == "n_envs must be at least 1, not 0; lr must be above 0 and finite, not -1.0"
