"""Protocols of few-shot evaluation: which labelled pixels may be learnt from, and which are the test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from earthfield.errors import InvalidInput

Protocol = Literal["block", "parcels", "random"]
PROTOCOLS: tuple[Protocol, ...] = ("block", "parcels", "random")
_DEALS = 200
_TRIES = 2000


@dataclass(frozen=True)
class Sites:
    """Labelled pixels of a place."""

    labels: NDArray[np.integer]
    """(N,) class codes."""
    rows: NDArray[np.intp]
    """(N,) rows in the place."""
    cols: NDArray[np.intp]
    """(N,) columns in the place."""
    shape: tuple[int, int]
    """Rows and columns of the place."""

    def take(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> Sites:
        """Gives some of the sites."""
        return Sites(self.labels[keep], self.rows[keep], self.cols[keep], self.shape)

    @cached_property
    def classes(self) -> list[int]:
        """The class codes, sorted."""
        return [int(code) for code in np.unique(self.labels)]

    @property
    def counts(self) -> dict[int, int]:
        """Sites of each class."""
        return {code: int((self.labels == code).sum()) for code in self.classes}


def sites_of(codes: NDArray[np.integer], *, nodata: int = 0) -> Sites:
    """Gives the labelled pixels of (H, W) class codes."""
    rows, cols = np.nonzero(codes != nodata)
    return Sites(codes[rows, cols], rows, cols, (codes.shape[0], codes.shape[1]))


@dataclass(frozen=True)
class Rules:
    """How pixels are split."""

    protocol: Protocol = "block"
    """What is held out: `block` squares of the place, `parcels` connected pixels of one class, `random` pixels."""
    draws: int = 20
    """How often everything is dealt and drawn anew."""
    grid: int = 4
    """Blocks along each side of the place."""
    folds: int = 4
    """Parts that the blocks are dealt into; each is the test once a draw."""
    buffer_px: int = 4
    """Width of the rim around test pixels (block) or training parcels (parcels) that is left out."""
    seed: int = 0
    """Of every deal and draw."""
    cap: int = 256
    """Most labels per class that `max` stands for."""


@dataclass(frozen=True)
class Split:
    """One split: what may be drawn, in the order in which it is drawn, and the test."""

    order: Mapping[int, NDArray[np.intp]]
    """Class -> sites that may be learnt from, shuffled: n labels are the first n, so fewer are part of more."""
    test: NDArray[np.intp]
    """Sites of the test."""
    draw: int = 0
    """Number of the draw."""
    fold: int = 0
    """Number of the fold in the draw."""

    @property
    def most(self) -> int:
        """Labels per class that can be drawn."""
        return min(len(sites) for sites in self.order.values())

    def train(self, shots: int) -> NDArray[np.intp]:
        """Gives the sites of `shots` labels of each class, or of as many as the smallest class has here."""
        count = min(shots, self.most)
        return np.concatenate([sites[:count] for sites in self.order.values()])


@dataclass(frozen=True)
class Dealt:
    """All splits of a place under some rules."""

    splits: list[Split]
    """One per draw and fold."""
    sites: Sites
    """The sites that indices of the splits count: those of classes that can be drawn."""
    kept: NDArray[np.intp]
    """Which of the sites given these are."""
    most: int
    """Labels per class of `max`: half of the smallest class, or the cap; a split may allow fewer."""
    left_out: Mapping[int, str] = field(default_factory=dict)
    """Classes that cannot be drawn or held out, with the reason."""


def deal(sites: Sites, rules: Rules, *, shots: int = 1, parcels: NDArray[np.int32] | None = None) -> Dealt:
    """Splits sites as often as the rules say.

    Args:
        sites: labelled pixels.
        rules: how to split.
        shots: labels per class that every split must allow; classes that do not are left out.
        parcels: (H, W) number of the parcel of each pixel, 0 where there is none; needed by `parcels` only.

    Returns:
        The splits; a split may allow fewer than `most` labels, and never fewer than one.

    Raises:
        InvalidInput: fewer than two classes can be drawn and held out, or no split was found.
    """
    bounds = {"block": _block_bounds, "parcels": _parcel_bounds, "random": _random_bounds}[rules.protocol]
    left_out = {code: why for code, why in bounds(sites, rules, shots, parcels).items() if why}
    kept = np.flatnonzero(~np.isin(sites.labels, list(left_out)))
    own = sites.take(kept)
    if len(own.classes) < 2:
        told = (
            "; ".join(f"class {code}: {why}" for code, why in left_out.items())
            or "only one class is labelled"
        )
        raise InvalidInput(
            f"fewer than two classes can be drawn and held out with {shots} labels a class under the "
            f"{rules.protocol} protocol ({told}): take fewer labels, or label more of the place"
        )
    most = max(shots, min(rules.cap, min(own.counts.values()) // 2))
    cut = {"block": _by_blocks, "parcels": _by_parcels, "random": _by_pixels}[rules.protocol]
    return Dealt(cut(own, rules, shots, most, parcels), own, kept, most, left_out)


def connected(codes: NDArray[np.integer], *, nodata: int = 0) -> NDArray[np.int32]:
    """Numbers connected pixels of one code (edges connect): (H, W) int32 from 1, 0 where there is no label."""
    found = np.zeros(codes.shape, np.int32)
    last = 0
    for code in np.unique(codes[codes != nodata]):
        numbered, count = ndimage.label(codes == code)
        found[numbered > 0] = numbered[numbered > 0] + last
        last += count
    return found


# ---- blocks ----


def block_of(sites: Sites, grid: int) -> NDArray[np.intp]:
    """Gives the block of each site, (N,), counted along rows from the first corner."""
    rows, cols = (
        np.searchsorted(_edges(length, grid), at, side="right") - 1
        for length, at in zip(sites.shape, (sites.rows, sites.cols), strict=True)
    )
    return np.asarray(rows * grid + cols, np.intp)


def near_blocks(sites: Sites, grid: int, buffer_px: int) -> NDArray[np.bool_]:
    """Tells for each block which sites lie inside it or at most `buffer_px` from it, (grid x grid, N)."""
    along = []
    for length, at in zip(sites.shape, (sites.rows, sites.cols), strict=True):
        edges = _edges(length, grid)
        along.append((at >= edges[:-1, None] - buffer_px) & (at < edges[1:, None] + buffer_px))
    return (along[0][:, None] & along[1][None]).reshape(grid * grid, -1)


def _edges(length: int, grid: int) -> NDArray[np.intp]:
    return np.asarray(np.arange(grid + 1) * length // grid, np.intp)


def _block_bounds(
    sites: Sites, rules: Rules, shots: int, parcels: NDArray[np.int32] | None
) -> dict[int, str]:
    block, near = block_of(sites, rules.grid), near_blocks(sites, rules.grid, rules.buffer_px)
    found = {}
    for code in sites.classes:
        own = sites.labels == code
        held = np.unique(block[own])
        outside = min(int((own & ~near[one]).sum()) for one in held)
        if len(held) < 2:
            found[code] = f"all its {own.sum()} px lie in one block"
        elif outside < shots:
            found[code] = (
                f"only {outside} of its {own.sum()} px lie outside one of its blocks and the rim around it"
            )
    return found


def _by_blocks(
    sites: Sites, rules: Rules, shots: int, most: int, parcels: NDArray[np.int32] | None
) -> list[Split]:
    rng = np.random.default_rng(rules.seed)
    block, near = block_of(sites, rules.grid), near_blocks(sites, rules.grid, rules.buffer_px)
    held = np.unique(block)
    folds = min(rules.folds, len(held))
    worth = _worth_of(sites, block, near, most)
    splits = []
    for draw in range(rules.draws):
        deals = (_random_deal(held, folds, rng) for _ in range(_DEALS))
        best: list[NDArray[np.intp]] = max(deals, key=worth)
        for fold, blocks in enumerate(best):
            outside = np.asarray(~near[blocks].any(axis=0))
            test = np.flatnonzero(np.isin(block, blocks))
            split = Split(_shuffled(sites, outside, rng), test, draw, fold)
            if split.most == 0:
                raise InvalidInput(
                    f"in some fold of {folds} no label of a class lies outside the test blocks and the "
                    f"{rules.buffer_px} px around them: leave the rarest class out, or take more folds"
                )
            splits.append(split)
    return splits


def _random_deal(blocks: NDArray[np.intp], folds: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    shuffled = rng.permutation(blocks)
    return [np.sort(shuffled[fold::folds]) for fold in range(folds)]


def _worth_of(
    sites: Sites, block: NDArray[np.intp], near: NDArray[np.bool_], most: int
) -> Callable[[list[NDArray[np.intp]]], tuple[int, int]]:
    """Gives what a deal is worth: tests that hold a class, then the labels per class that every fold allows."""
    _, number = np.unique(sites.labels, return_inverse=True)
    classes = len(sites.classes)
    inside = np.zeros((len(near), classes), int)
    np.add.at(inside, (block, number), 1)
    # Sites of one class near the same blocks are one row: few rows, however many sites.
    kinds, sizes = np.unique(np.vstack([near, number[None]]).T, axis=0, return_counts=True)
    touched, of_class = kinds[:, :-1].astype(bool), kinds[:, -1].astype(int)

    def worth(deal: list[NDArray[np.intp]]) -> tuple[int, int]:
        filled, fewest = 0, most
        for blocks in deal:
            filled += int((inside[blocks].sum(axis=0) > 0).sum())
            free = ~touched[:, blocks].any(axis=1)
            outside = np.bincount(of_class[free], weights=sizes[free], minlength=classes)
            fewest = min(fewest, int(outside.min()))
        return (filled, fewest) if fewest else (0, 0)

    return worth


def _shuffled(
    sites: Sites, where: NDArray[np.bool_], rng: np.random.Generator
) -> dict[int, NDArray[np.intp]]:
    return {code: rng.permutation(np.flatnonzero(where & (sites.labels == code))) for code in sites.classes}


# ---- parcels ----


def _parcel_bounds(
    sites: Sites, rules: Rules, shots: int, parcels: NDArray[np.int32] | None
) -> dict[int, str]:
    own = _parcel_of(sites, parcels)
    found = {}
    for code in sites.classes:
        sizes = np.bincount(np.unique(own[sites.labels == code], return_inverse=True)[1])
        if len(sizes) < 2:
            found[code] = f"all its {sizes.sum()} px lie in one parcel"
        elif sizes.sum() - sizes.min() < shots or sizes.sum() < 2 * shots:
            found[code] = f"{sizes.sum()} px in {len(sizes)} parcels are too few for {shots} labels"
    return found


def _by_parcels(
    sites: Sites, rules: Rules, shots: int, most: int, parcels: NDArray[np.int32] | None
) -> list[Split]:
    """A random half of the parcels is for training; the test is every site off them and the rim around them."""
    own = _parcel_of(sites, parcels)
    assert parcels is not None
    rng = np.random.default_rng(rules.seed)
    names = np.unique(own)
    wide = np.ones((2 * rules.buffer_px + 1,) * 2, bool)
    splits: list[Split] = []
    for _ in range(_TRIES * rules.draws):
        if len(splits) == rules.draws:
            return splits
        chosen = names[rng.random(len(names)) < 0.5]
        trained = np.isin(parcels, chosen)
        near = ndimage.binary_dilation(trained, wide) if rules.buffer_px else trained
        in_train, in_test = np.isin(own, chosen), ~near[sites.rows, sites.cols]
        if min(_fewest(sites, in_train), _fewest(sites, in_test)) >= shots:
            order = _shuffled(sites, in_train, rng)
            splits.append(Split(order, np.flatnonzero(in_test), draw=len(splits)))
    if len(splits) < rules.draws:
        raise InvalidInput(
            f"the parcels cannot be split into training and test with {shots} labels of each "
            f"of {len(sites.classes)} classes and a rim of {rules.buffer_px} px: take fewer labels, or leave "
            "a class out"
        )
    return splits


def _parcel_of(sites: Sites, parcels: NDArray[np.int32] | None) -> NDArray[np.int32]:
    if parcels is None or parcels.shape != sites.shape:
        raise InvalidInput(
            "the parcels protocol needs the parcel of every pixel of the place: number them first"
        )
    return np.asarray(parcels[sites.rows, sites.cols], np.int32)


def _fewest(sites: Sites, where: NDArray[np.bool_]) -> int:
    """Size of the smallest class among some sites."""
    return min(int((where & (sites.labels == code)).sum()) for code in sites.classes)


# ---- pixels ----


def _random_bounds(
    sites: Sites, rules: Rules, shots: int, parcels: NDArray[np.int32] | None
) -> dict[int, str]:
    return {
        code: f"{count} px are too few for {shots} labels and a test"
        for code, count in sites.counts.items()
        if count < 2 * shots
    }


def _by_pixels(
    sites: Sites, rules: Rules, shots: int, most: int, parcels: NDArray[np.int32] | None
) -> list[Split]:
    """Pixels at random, all others are the test: neighbours of training pixels among them."""
    rng = np.random.default_rng(rules.seed)
    splits = []
    for draw in range(rules.draws):
        everywhere = _shuffled(sites, np.ones(len(sites.rows), bool), rng)
        order = {code: found[:most] for code, found in everywhere.items()}
        test = np.setdiff1d(np.arange(len(sites.rows)), np.concatenate(list(order.values())))
        splits.append(Split(order, test, draw))
    return splits
