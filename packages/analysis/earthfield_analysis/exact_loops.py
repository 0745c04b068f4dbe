"""The compiled loops of `exact`: codes dequantised inside the product, and a heap of the best."""

from __future__ import annotations

import numpy as np

from earthfield.codec import NODATA
from earthfield_analysis.compiling import SUMS, compiled

BLOCK = 8192
"""Pixels at once: eight bands of them are 64 KiB, and long enough runs for the memory to foresee."""
LOWEST = np.float32(-np.inf)
SCALE = np.float32(127.5**2)
_CHUNK = 256
"""Pixels whose best is compared with the worst that is kept, before any is looked at alone."""


@compiled(fastmath=SUMS)
def _dots(codes, weights, x0, n, dot):  # type: ignore[no-untyped-def]
    """Adds up |q| q t over the bands."""
    dim = len(codes)
    dot[:n] = np.float32(0)
    whole = dim // 8 * 8
    for d in range(0, whole, 8):
        # Slices of their own: an index through x0 + i may wrap, and would not be turned into vectors.
        a0, a1, a2, a3 = (
            codes[d, x0 : x0 + n],
            codes[d + 1, x0 : x0 + n],
            codes[d + 2, x0 : x0 + n],
            codes[d + 3, x0 : x0 + n],
        )
        a4, a5, a6, a7 = (
            codes[d + 4, x0 : x0 + n],
            codes[d + 5, x0 : x0 + n],
            codes[d + 6, x0 : x0 + n],
            codes[d + 7, x0 : x0 + n],
        )
        t0, t1, t2, t3 = weights[d], weights[d + 1], weights[d + 2], weights[d + 3]
        t4, t5, t6, t7 = weights[d + 4], weights[d + 5], weights[d + 6], weights[d + 7]
        for i in range(n):
            v0, v1, v2, v3 = np.float32(a0[i]), np.float32(a1[i]), np.float32(a2[i]), np.float32(a3[i])
            v4, v5, v6, v7 = np.float32(a4[i]), np.float32(a5[i]), np.float32(a6[i]), np.float32(a7[i])
            dot[i] += (
                (t0 * (v0 * abs(v0)) + t1 * (v1 * abs(v1))) + (t2 * (v2 * abs(v2)) + t3 * (v3 * abs(v3)))
            ) + ((t4 * (v4 * abs(v4)) + t5 * (v5 * abs(v5))) + (t6 * (v6 * abs(v6)) + t7 * (v7 * abs(v7))))
    for d in range(whole, dim):
        a0, t0 = codes[d, x0 : x0 + n], weights[d]
        for i in range(n):
            v0 = np.float32(a0[i])
            dot[i] += t0 * (v0 * abs(v0))


@compiled(fastmath=SUMS)
def _dots_and_squares(codes, weights, x0, n, dot, square):  # type: ignore[no-untyped-def]
    """Adds up |q| q t and q^4 over the bands."""
    dim = len(codes)
    dot[:n] = np.float32(0)
    square[:n] = np.float32(0)
    whole = dim // 8 * 8
    for d in range(0, whole, 8):
        a0, a1, a2, a3 = (
            codes[d, x0 : x0 + n],
            codes[d + 1, x0 : x0 + n],
            codes[d + 2, x0 : x0 + n],
            codes[d + 3, x0 : x0 + n],
        )
        a4, a5, a6, a7 = (
            codes[d + 4, x0 : x0 + n],
            codes[d + 5, x0 : x0 + n],
            codes[d + 6, x0 : x0 + n],
            codes[d + 7, x0 : x0 + n],
        )
        t0, t1, t2, t3 = weights[d], weights[d + 1], weights[d + 2], weights[d + 3]
        t4, t5, t6, t7 = weights[d + 4], weights[d + 5], weights[d + 6], weights[d + 7]
        for i in range(n):
            v0, v1, v2, v3 = np.float32(a0[i]), np.float32(a1[i]), np.float32(a2[i]), np.float32(a3[i])
            v4, v5, v6, v7 = np.float32(a4[i]), np.float32(a5[i]), np.float32(a6[i]), np.float32(a7[i])
            v0, v1, v2, v3 = v0 * abs(v0), v1 * abs(v1), v2 * abs(v2), v3 * abs(v3)
            v4, v5, v6, v7 = v4 * abs(v4), v5 * abs(v5), v6 * abs(v6), v7 * abs(v7)
            dot[i] += ((t0 * v0 + t1 * v1) + (t2 * v2 + t3 * v3)) + (
                (t4 * v4 + t5 * v5) + (t6 * v6 + t7 * v7)
            )
            square[i] += ((v0 * v0 + v1 * v1) + (v2 * v2 + v3 * v3)) + (
                (v4 * v4 + v5 * v5) + (v6 * v6 + v7 * v7)
            )
    for d in range(whole, dim):
        a0, t0 = codes[d, x0 : x0 + n], weights[d]
        for i in range(n):
            v0 = np.float32(a0[i])
            v0 = v0 * abs(v0)
            dot[i] += t0 * v0
            square[i] += v0 * v0


@compiled(fastmath=SUMS)
def _likeness(codes, weights, lengths, cosine, x0, n, dot, square):  # type: ignore[no-untyped-def]
    """Puts the scores of a block into `dot`; NaN where there is no data, or no direction to compare with."""
    first = codes[0, x0 : x0 + n]
    nothing, scale = np.float32(np.nan), np.float32(1) / SCALE
    if not cosine:
        _dots(codes, weights, x0, n, dot)
        for i in range(n):
            dot[i] = nothing if first[i] == NODATA else dot[i] * scale
    elif len(lengths):
        _dots(codes, weights, x0, n, dot)
        own = lengths[x0 : x0 + n]
        for i in range(n):
            dot[i] = nothing if first[i] == NODATA else dot[i] * scale / own[i]
    else:
        _dots_and_squares(codes, weights, x0, n, dot, square)
        for i in range(n):
            dot[i] = nothing if first[i] == NODATA else dot[i] / np.sqrt(square[i])


@compiled()
def fill_scores(codes, weights, lengths, cosine, start, stop, found):  # type: ignore[no-untyped-def]
    square = np.empty(BLOCK, np.float32)
    for x0 in range(start, stop, BLOCK):
        n = min(BLOCK, stop - x0)
        _likeness(codes, weights, lengths, cosine, x0, n, found[x0 : x0 + n], square)


@compiled()
def fill_lengths(codes, weights, start, stop, found):  # type: ignore[no-untyped-def]
    dot = np.empty(BLOCK, np.float32)
    for x0 in range(start, stop, BLOCK):
        n = min(BLOCK, stop - x0)
        square = found[x0 : x0 + n]
        _dots_and_squares(codes, weights, x0, n, dot, square)
        first = codes[0, x0 : x0 + n]
        for i in range(n):
            square[i] = np.float32(np.nan) if first[i] == NODATA else np.sqrt(square[i]) / SCALE


@compiled()
def _sink(values, places, count):  # type: ignore[no-untyped-def]
    """Lets the root of a heap sink to where it belongs; the worst, and of equals the last, stands at the root."""
    value, place, at = values[0], places[0], 0
    while True:
        child = 2 * at + 1
        if child >= count:
            break
        other = child + 1
        if other < count and (
            values[other] < values[child]
            or (values[other] == values[child] and places[other] > places[child])
        ):
            child = other
        if values[child] > value or (values[child] == value and places[child] < place):
            break
        values[at], places[at] = values[child], places[child]
        at = child
    values[at], places[at] = value, place


@compiled()
def _rise(values, places, at):  # type: ignore[no-untyped-def]
    """Lets the last entry of a heap rise to where it belongs."""
    value, place = values[at], places[at]
    while at > 0:
        parent = (at - 1) // 2
        if values[parent] < value or (values[parent] == value and places[parent] > place):
            break
        values[at], places[at] = values[parent], places[parent]
        at = parent
    values[at], places[at] = value, place


@compiled()
def search_in(codes, weights, lengths, cosine, mask, start, stop, below, least, values, places):  # type: ignore[no-untyped-def]
    """Keeps the best codes of a range in a heap; gives how many, how many were searched, and lie above `below`."""
    dot, square = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    k, count, searched, above = len(values), 0, 0, 0
    for x0 in range(start, stop, BLOCK):
        n = min(BLOCK, stop - x0)
        _likeness(codes, weights, lengths, cosine, x0, n, dot, square)
        if len(mask):
            keep = mask[x0 : x0 + n]
            for i in range(n):
                dot[i] = dot[i] if keep[i] else np.float32(np.nan)
        for c in range(0, n, _CHUNK):
            part = dot[c : min(c + _CHUNK, n)]
            floor = values[0] if count == k and k else least
            # Counts, because they become vectors where a largest value with NaN about does not.
            seen, reached, better = 0, 0, 0
            for i in range(len(part)):
                seen += part[i] >= LOWEST
                reached += part[i] > below
                better += part[i] > floor
            searched += seen
            above += reached
            if better and k:
                count = _keep(part, x0 + c, least, values, places, count)
    return count, searched, above


@compiled()
def _keep(part, at, least, values, places, count):  # type: ignore[no-untyped-def]
    """Puts what belongs among the best into the heap; gives how many it then holds."""
    for i in range(len(part)):
        value = part[i]
        if count == len(values):
            if value > values[0]:
                values[0], places[0] = value, at + i
                _sink(values, places, count)
        elif value > least:
            values[count], places[count] = value, at + i
            _rise(values, places, count)
            count += 1
    return count
