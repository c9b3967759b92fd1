"""95 % intervals of means and of differences; what a comparison of two runs calls beyond noise.

They take their trials as independent. Episodes of one training and ops of one episode are not quite, so
an interval that hardly leaves 0 out proves little.
"""

from __future__ import annotations

import math

import msgspec

from esper.leyline.thresholds import MIN_SAMPLES, wilson_interval, z_score


class Sample(msgspec.Struct, frozen=True):
    """A mean and its spread, in the unit of what was measured."""

    n: int
    mean: float | None
    deviation: float | None
    """Standard deviation with n - 1 below; None under two values."""


class Part(msgspec.Struct, frozen=True):
    """How many of n trials came out true."""

    count: int
    n: int

    @property
    def share(self) -> float | None:
        """0 to 1; None without a trial."""
        return self.count / self.n if self.n else None


class Interval(msgspec.Struct, frozen=True):
    """A value with the ends of its 95 % interval; None where there is too little for one."""

    value: float | None
    low: float | None = None
    high: float | None = None


def t_quantile(degrees: float) -> float:
    """Two-sided 95 % quantile of Student's distribution, within 1 % from 2 degrees of freedom on.

    Source: M. Abramowitz and I. A. Stegun, Handbook of Mathematical Functions (1964), 26.7.5.

    Args:
        degrees: degrees of freedom, at least 2.
    """
    x = z_score()
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return float(x + sum(term / degrees**power for power, term in enumerate(terms, 1)))


def mean_interval(sample: Sample) -> Interval:
    """The mean with Student's interval; without one under MIN_SAMPLES values."""
    if sample.mean is None or sample.deviation is None or sample.n < MIN_SAMPLES:
        return Interval(sample.mean)
    half = t_quantile(sample.n - 1) * sample.deviation / math.sqrt(sample.n)
    return Interval(sample.mean, sample.mean - half, sample.mean + half)


def mean_difference(control: Sample, treatment: Sample) -> Interval:
    """Treatment less control, with Welch's interval; without one under MIN_SAMPLES values on a side.

    Source: B. L. Welch, "The generalization of Student's problem when several different population
    variances are involved", Biometrika 34 (1947), 28-35.
    """
    if control.mean is None or treatment.mean is None:
        return Interval(None)
    value = treatment.mean - control.mean
    if min(control.n, treatment.n) < MIN_SAMPLES or control.deviation is None or treatment.deviation is None:
        return Interval(value)
    first, second = control.deviation**2 / control.n, treatment.deviation**2 / treatment.n
    both = first + second
    if both == 0:
        return Interval(value, value, value)
    degrees = both**2 / (first**2 / (control.n - 1) + second**2 / (treatment.n - 1))
    half = t_quantile(degrees) * math.sqrt(both)
    return Interval(value, value - half, value + half)


def share_interval(part: Part) -> Interval:
    """The share with its Wilson score interval."""
    ends = wilson_interval(part.count, part.n)
    return Interval(part.share) if ends is None else Interval(part.share, *ends)


def share_difference(control: Part, treatment: Part) -> Interval:
    """Treatment's share less control's, with Newcombe's hybrid score interval.

    Source: R. G. Newcombe, "Interval estimation for the difference between independent proportions",
    Statistics in Medicine 17 (1998), 873-890, method 10.
    """
    first, second = share_interval(control), share_interval(treatment)
    if first.value is None or second.value is None:
        return Interval(None)
    value = second.value - first.value
    if first.low is None or first.high is None or second.low is None or second.high is None:
        return Interval(value)
    return Interval(
        value,
        value - math.hypot(second.value - second.low, first.high - first.value),
        value + math.hypot(second.high - second.value, first.value - first.low),
    )
