"""The ops' numbers, and errors that name what would have been right."""

from __future__ import annotations

import inspect

import pytest

import esper.leyline as leyline
from esper.leyline import KarnError, LifecycleOp, NotFoundError, SeedInternalKind, errors
from esper.leyline.errors import unknown_name


def test_the_numbers_of_the_file_format_never_change():
    assert {op.name: op.value for op in LifecycleOp} == {
        "NOOP": 0,
        "GERMINATE": 1,
        "PRUNE": 2,
        "FOSSILIZE": 3,
        "GROW_INTERNAL": 4,
        "SHRINK_INTERNAL": 5,
    }
    assert {kind.name: kind.value for kind in SeedInternalKind} == {"NONE": 0, "CONV_LADDER": 1}


def test_internal_ops_are_grow_and_shrink():
    assert [op.name for op in LifecycleOp if op.is_internal] == ["GROW_INTERNAL", "SHRINK_INTERNAL"]


def test_a_level_change_is_an_op_and_none_is_not():
    assert LifecycleOp.from_levels(1, 3) is LifecycleOp.GROW_INTERNAL
    assert LifecycleOp.from_levels(1, 0) is LifecycleOp.SHRINK_INTERNAL
    with pytest.raises(ValueError, match="must differ"):
        LifecycleOp.from_levels(2, 2)


def test_everything_that_users_rely_on_is_exported():
    payloads = {
        name
        for name, value in inspect.getmembers(leyline.payloads, inspect.isclass)
        if issubclass(value, leyline.Payload)
    }
    promised = {
        "LifecycleOp",
        "SeedInternalKind",
        "TelemetryEventType",
        "TelemetryEvent",
        "EventSink",
        "band",
        "indicator",
    }
    assert payloads | promised <= set(leyline.__all__)
    assert all(hasattr(leyline, name) for name in leyline.__all__)


def test_every_error_of_karn_is_in_one_tree_that_the_docstring_draws():
    classes = [
        value
        for _, value in inspect.getmembers(errors, inspect.isclass)
        if value.__module__ == errors.__name__
    ]
    assert all(issubclass(error, KarnError) for error in classes)
    assert all(error.__name__ in (errors.__doc__ or "") for error in classes)
    assert issubclass(errors.TelemetryUsageError, ValueError)
    assert issubclass(NotFoundError, LookupError)


@pytest.mark.parametrize(
    ("name", "known", "text"),
    [
        ("osclate", ["heuristic", "oscillate", "random"], "did you mean oscillate?"),
        ("run_a", ["run_b", "run_c"], "did you mean run_c or run_b?"),
        ("zzz", ["heuristic", "oscillate", "random"], "there is heuristic, oscillate or random"),
        ("zzz", [f"run_{n:02d}" for n in range(12)], "run_09 (and 2 more)"),
        ("zzz", [], "there is none yet"),
    ],
)
def test_an_unknown_name_gets_the_nearest_ones(name, known, text):
    error = unknown_name("run", name, known)
    assert isinstance(error, NotFoundError)
    assert str(error).startswith(f"unknown run {name!r}")
    assert text in str(error)


def test_a_name_that_is_far_too_long_is_cut_and_shown_on_one_line():
    text = str(unknown_name("view", "x\n" * 100_000, ["raw_events"]))
    assert len(text) < 300
    assert "\n" not in text
