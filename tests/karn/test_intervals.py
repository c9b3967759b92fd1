"""Intervals against published values and hand-computed ones."""

from __future__ import annotations

import pytest

from esper.karn.diagnosis.intervals import (
    Interval,
    Part,
    Sample,
    mean_difference,
    mean_interval,
    share_difference,
    share_interval,
    t_quantile,
)


@pytest.mark.parametrize(
    ("degrees", "tabled"), [(2, 4.3027), (3, 3.1824), (5, 2.5706), (7, 2.3646), (30, 2.0423), (1e9, 1.9600)]
)
def test_students_quantile_is_that_of_the_tables_within_a_percent(degrees, tabled):
    assert t_quantile(degrees) == pytest.approx(tabled, rel=0.01)


def test_newcombes_interval_is_that_of_his_paper():
    difference = share_difference(Part(48, 80), Part(56, 70))
    assert difference.value == pytest.approx(0.2)
    assert difference.low == pytest.approx(0.0524, abs=5e-5)
    assert difference.high == pytest.approx(0.3339, abs=5e-5)


def test_a_means_interval_by_hand():
    interval = mean_interval(Sample(8, 4.0, 2.0))
    assert interval.value == 4.0
    assert interval.low == pytest.approx(4 - 2.3646 * 2 / 8**0.5, rel=1e-3)
    assert interval.high == pytest.approx(4 + 2.3646 * 2 / 8**0.5, rel=1e-3)


def test_welchs_interval_by_hand():
    # Equal spreads of 1 over 8 and 8: variance of the difference 1/4, 14 degrees of freedom, t = 2.1448.
    difference = mean_difference(Sample(8, 1.0, 1.0), Sample(8, 3.0, 1.0))
    assert difference.value == 2.0
    assert difference.low == pytest.approx(2 - 2.1448 / 2, rel=1e-3)
    assert difference.high == pytest.approx(2 + 2.1448 / 2, rel=1e-3)


def test_two_runs_without_spread_differ_exactly():
    assert mean_difference(Sample(5, 1.0, 0.0), Sample(5, 2.0, 0.0)) == Interval(1.0, 1.0, 1.0)


def test_too_few_values_have_no_interval():
    assert mean_interval(Sample(2, 4.0, 2.0)) == Interval(4.0)
    assert mean_difference(Sample(2, 1.0, 1.0), Sample(9, 2.0, 1.0)) == Interval(1.0)
    assert mean_difference(Sample(0, None, None), Sample(9, 2.0, 1.0)) == Interval(None)
    assert share_interval(Part(0, 0)) == Interval(None)
    assert share_difference(Part(0, 0), Part(1, 2)) == Interval(None)
