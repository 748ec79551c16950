"""Ratios of medians with intervals, and exponents of growth. All that a table says comes from here."""

import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

RESAMPLES = 2000
MIN_ROUNDS = 5
"""With fewer rounds an interval would say more than it knows."""


@dataclass(frozen=True)
class Ratio:
    """A ratio of medians and its 95 % interval; without one if there were too few rounds."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def half_width(self) -> float:
        """Half of the interval, as a part of the value; infinite without one."""
        if self.low is None or self.high is None:
            return math.inf
        return (self.high - self.low) / 2 / self.value

    @property
    def upper(self) -> float:
        """The upper end: what a goal is judged by. Without an interval nothing meets a goal."""
        return math.inf if self.high is None else self.high

    def __str__(self) -> str:
        if self.low is None:
            return f"{self.value:.2f}"
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def ratio(ours: Mapping[int, float], base: Mapping[int, float]) -> Ratio:
    """The ratio of two medians over the rounds that both have, with a paired bootstrap over these rounds.

    Paired: a resample takes both figures of a round, so that what slows a whole round down cancels out.

    Raises:
        ValueError: there is no round that both have.
    """
    rounds = sorted(ours.keys() & base.keys())
    if not rounds:
        raise ValueError("no round has both figures, so there is no ratio of them")
    value = _of_medians(ours, base, rounds)
    if len(rounds) < MIN_ROUNDS:
        return Ratio(value)
    chance = random.Random(1)  # noqa: S311 (a resample must be the same each time)
    found = sorted(_of_medians(ours, base, chance.choices(rounds, k=len(rounds))) for _ in range(RESAMPLES))
    return Ratio(value, found[round(0.025 * RESAMPLES)], found[round(0.975 * RESAMPLES) - 1])


def _of_medians(ours: Mapping[int, float], base: Mapping[int, float], rounds: Sequence[int]) -> float:
    return statistics.median(ours[one] for one in rounds) / statistics.median(base[one] for one in rounds)


def exponent(sizes: Mapping[int, float]) -> float:
    """The slope of log(size) over log(n), by least squares: 1 is linear, 2 quadratic.

    Raises:
        ValueError: fewer than two n, or a size that is not positive.
    """
    if len(sizes) < 2 or min(*sizes, *sizes.values()) <= 0:
        raise ValueError(f"an exponent needs two sizes or more, all positive; found {dict(sizes)}")
    xs = [math.log(n) for n in sizes]
    ys = [math.log(size) for size in sizes.values()]
    return statistics.linear_regression(xs, ys).slope
