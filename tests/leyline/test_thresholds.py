"""The bands at their edges, and the intervals against numbers worked out elsewhere."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esper.leyline import band, indicator
from esper.leyline.thresholds import (
    BANDS,
    INDICATORS,
    LEGEND,
    op_rate_band,
    wilson_interval,
    z_score,
)

ENOUGH = 10


@pytest.mark.parametrize(
    ("rate", "word"),
    [
        (0.0, "healthy"),
        (math.nextafter(0.3, 0), "healthy"),
        (0.3, "watch"),
        (math.nextafter(0.5, 0), "watch"),
        (0.5, "caution"),
        (0.7, "caution"),
        (7 / 10, "caution"),
        (math.nextafter(0.7, 1), "thrash"),
        (1.0, "thrash"),
    ],
)
def test_band_at_its_edges(rate, word):
    assert band(rate, ENOUGH) == word


@pytest.mark.parametrize(
    ("rate", "colour"),
    [
        (0.0, "green"),
        (math.nextafter(0.3, 0), "green"),
        (0.3, "yellow"),
        (math.nextafter(0.6, 0), "yellow"),
        (0.6, "red"),
        (1.0, "red"),
    ],
)
def test_indicator_at_its_edges(rate, colour):
    assert indicator(rate, ENOUGH) == colour


@pytest.mark.parametrize(("rate", "n"), [(0.0, 9), (1.0, 0), (None, 50), (0.5, None), (math.nan, 50)])
def test_too_little_evidence_is_never_healthy_and_has_no_colour(rate, n):
    assert band(rate, n) == "insufficient_data"
    assert indicator(rate, n) is None


@given(st.floats(0, 1), st.integers(0, 1000))
def test_words_and_colours_are_the_listed_ones_and_never_disagree(rate, n):
    word, colour = band(rate, n), indicator(rate, n)
    assert word in BANDS
    assert colour is None or colour in INDICATORS
    assert (word == "insufficient_data") == (colour is None)
    assert (word == "healthy") == (colour == "green")
    if word == "thrash":
        assert colour == "red"
    if colour == "red":
        assert word in ("caution", "thrash")  # red starts in the upper caution zone


def test_the_legend_says_where_red_starts():
    assert "red from 0.6 on (the upper caution zone)" in LEGEND


@pytest.mark.parametrize(
    ("rate", "word"),
    [
        (None, "insufficient_data"),
        (math.nan, "insufficient_data"),
        (0.0, "low"),
        (math.nextafter(0.1, 0), "low"),
        (0.1, "healthy"),
        (0.4, "healthy"),
        (math.nextafter(0.4, 1), "busy"),
        (0.6, "busy"),
        (math.nextafter(0.6, 1), "too_frequent"),
        (3.0, "too_frequent"),
    ],
)
def test_op_rate_band_at_its_edges(rate, word):
    assert op_rate_band(rate) == word


# Intervals.


@pytest.mark.parametrize("n", [1, 10, 50, 1000])
def test_wilson_interval_equals_its_closed_forms_at_the_ends_and_in_the_middle(n):
    z2 = 1.959963984540054**2
    assert wilson_interval(0, n) == pytest.approx((0, z2 / (n + z2)))
    assert wilson_interval(n, n) == pytest.approx((n / (n + z2), 1))
    half = math.sqrt(z2 / (2 * n + z2)) / 2
    assert wilson_interval(n, 2 * n) == pytest.approx((0.5 - half, 0.5 + half))


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_solves_the_equation_that_defines_it(trial):
    successes, n = trial
    share, z = successes / n, z_score()
    interval = wilson_interval(successes, n)
    assert interval is not None
    assert 0 <= interval[0] <= share + 1e-12
    assert share - 1e-12 <= interval[1] <= 1
    for bound in interval:
        if 0 < bound < 1:
            assert (share - bound) ** 2 == pytest.approx(z * z * bound * (1 - bound) / n, abs=1e-9)


def test_wilson_interval_equals_scipys():
    scipy_stats = pytest.importorskip("scipy.stats")
    for n in (1, 2, 9, 10, 37, 1000):
        for successes in range(0, n + 1, max(1, n // 7)):
            expected = scipy_stats.binomtest(successes, n).proportion_ci(method="wilson")
            assert wilson_interval(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_no_trial_has_no_interval():
    assert wilson_interval(0, 0) is None


@pytest.mark.parametrize(("looks", "z"), [(1, 1.959964), (2, 2.241403), (40, 3.227218), (1000, 4.055627)])
def test_z_score_grows_with_the_number_of_looks(looks, z):
    assert z_score(looks) == pytest.approx(z, abs=1e-5)


def test_no_look_is_no_question():
    with pytest.raises(ValueError, match="at least 1"):
        z_score(0)
