"""Accuracy of groups of images: regions, incomes, countries, classes, and pairs of two groupings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from visionzoo.errors import DataError, some_of

LEAST_IMAGES = 10  # of a country that counts
QUANTILES = (0.05, 0.1, 0.25)


@dataclass(frozen=True)
class Group:
    """Accuracy of one group.

    Attributes:
        name: its name.
        images: number of its images.
        correct: number of correct images.
    """

    name: str
    images: int
    correct: int

    @property
    def accuracy(self) -> float:
        """Share of correct images; nan without images."""
        return self.correct / self.images if self.images else float("nan")


def groups_of(correct: np.ndarray, of: Sequence[str], names: Sequence[str] | None = None) -> list[Group]:
    """Return the accuracy of each group. It does not depend on the order of the images.

    Args:
        correct: (N,) bool.
        of: (N,) name of the group of each image; an empty name belongs to no group.
        names: all groups in order, also those without images; default: the groups that occur, sorted.

    Raises:
        DataError: the lengths differ, or an image belongs to a group that ``names`` lacks.

    Example:
        >>> groups_of(np.array([True, False, True]), ["asia", "asia", "europe"], ["africa", "asia", "europe"])[1]
        Group(name='asia', images=2, correct=1)
    """
    each = np.asarray(of, dtype=np.str_)
    if len(correct) != len(each):
        raise DataError("groups", expected=f"{len(correct)} names", found=f"{len(each)}", advice="give one per image")
    found, codes = np.unique(each, return_inverse=True)
    known = [name for name in found.tolist() if name] if names is None else list(names)
    strangers = sorted(set(found.tolist()) - set(known) - {""})
    if strangers:
        raise DataError(
            "groups", expected=some_of(known, 12), found=some_of(strangers, 3), advice="correct the group's name"
        )
    images = dict(zip(found.tolist(), np.bincount(codes, minlength=len(found)).tolist()))
    hits = dict(zip(found.tolist(), np.bincount(codes, np.asarray(correct, float), len(found)).tolist()))
    return [Group(name, images.get(name, 0), int(hits.get(name, 0))) for name in known]


def crossed(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Return the group of each image under two groupings together; empty if it has no group in one of them.

    Example:
        >>> crossed(["asia", "europe"], ["Q4", ""])
        ['asia | Q4', '']
    """
    return [f"{a} | {b}" if a and b else "" for a, b in zip(first, second, strict=True)]


def note_on_empty(groups: Sequence[Group], what: str) -> str:
    """Return a note on groups without images, or an empty text.

    Example:
        >>> note_on_empty([Group("africa", 0, 0), Group("asia", 2, 1)], "region")
        'region africa: no image; its accuracy is nan, and it is left out of the disparities'
    """
    empty = [group.name for group in groups if not group.images]
    if not empty:
        return ""
    return f"{what} {', '.join(empty)}: no image; its accuracy is nan, and it is left out of the disparities"


@dataclass(frozen=True)
class CountryGap:
    """Gap between the countries with the highest and with the lowest accuracy.

    Attributes:
        share: share of countries of each side, 0.05 for 5 %.
        best, worst: names of the countries of each side; a side may be empty.
        gap: mean accuracy of the best minus that of the worst countries; nan if a side is empty.
        countries: number of countries that count.
        left_out: number of countries with too few images.
        least: number of images that a country must have.
    """

    share: float
    best: tuple[str, ...]
    worst: tuple[str, ...]
    gap: float
    countries: int
    left_out: int
    least: int


def country_gap(countries: Sequence[Group], share: float, least: int = LEAST_IMAGES) -> CountryGap:
    """Return the gap between the best and the worst ``share`` of the countries.

    The quantiles ``share`` and ``1 - share`` of the accuracies are interpolated linearly. The countries strictly above
    and strictly below them are the two sides. Each country counts once, whatever its number of images.

    Args:
        countries: accuracies of countries.
        share: above 0 and below 0.5.
        least: countries with fewer images are left out and counted.

    Raises:
        DataError: ``share`` is outside its range.

    Example:
        >>> countries = [Group("a", 20, 2), Group("b", 20, 10), Group("c", 20, 18), Group("d", 3, 0)]
        >>> gap = country_gap(countries, 0.25)
        >>> gap.best, gap.worst, round(gap.gap, 3), gap.left_out
        (('c',), ('a',), 0.8, 1)
    """
    if not 0 < share < 0.5:
        raise DataError("share of countries", expected="a number above 0 and below 0.5", found=f"{share}")
    kept = [country for country in countries if country.images >= max(1, least)]
    left_out = len(countries) - len(kept)
    if not kept:
        return CountryGap(share, (), (), float("nan"), 0, left_out, least)
    best, worst = sides(np.array([country.accuracy for country in kept])[None], share)
    named = [tuple(country.name for country, is_in in zip(kept, side[0]) if is_in) for side in (best, worst)]
    means = [np.mean([c.accuracy for c in kept if c.name in side]) if side else np.nan for side in named]
    return CountryGap(share, named[0], named[1], float(means[0] - means[1]), len(kept), left_out, least)


def sides(accuracies: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Return which countries of each row are strictly above and strictly below its quantiles.

    Args:
        accuracies: (R, countries); nan is in no side.
        share: share of each side.

    Returns:
        Two arrays (R, countries) of bool: best, worst.
    """
    limits = np.full((2, len(accuracies)), np.nan)
    is_nan = np.isnan(accuracies)
    is_whole, is_empty = ~is_nan.any(axis=1), is_nan.all(axis=1)
    # the second function is 50 times slower
    for rows, quantile in ((is_whole, np.quantile), (~is_whole & ~is_empty, np.nanquantile)):
        if rows.any():
            limits[:, rows] = quantile(accuracies[rows], [share, 1 - share], axis=1)
    low, high = limits[:, :, None]
    return accuracies > high, accuracies < low
