"""Co-registration: how far an acquisition lies off a reference, and its pixels moved onto it; arrays in and out.

A cube that is not co-registered holds only values that some acquisition had. Moving by a part of a pixel mixes
neighbours, so in a co-registered cube that is true of the acquisitions that moved by whole pixels or not at all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import uniform_filter

MAX_SHIFT_PX = 3.0
"""Longest shift along an axis that is believed."""
SETTLED_PX = 0.1
"""Shifts shorter than this along both axes are not worth mixing pixels for: these stay as they are."""
MAX_ERROR_PX = 0.25
"""Largest standard error of an estimate that is believed."""
MIN_CLEAR_PX = 1024
"""Pixels that must be clear in both, as many as 32 x 32."""
MIN_CONFIDENCE = 0.4
"""Least confidence that is believed; images of different places stay below it."""

TOO_FEW_PIXELS = "too few clear pixels"
TOO_LITTLE_TEXTURE = "too little texture"
NO_PEAK = "no clear peak"
TOO_FAR = "implausibly long shift"
NOT_PRECISE = "shift not precise enough"
NO_GAIN = "no better match after the shift"

_LOCAL_PX = 17
"""Side of the neighbourhood in which brightness and contrast are evened out."""
_EDGE_PX = 5
"""Side of the neighbourhood over which a mask's edge fades."""
_PASS = 0.3
"""Standard deviation of the low-pass on the correlation, cycles a pixel of the sensor."""
_COARSE_PASS = 0.4
"""Where pixels coarser than the grid's are cut off, cycles a pixel of the sensor: beyond half a cycle there is only
the pattern of the enlarged pixels."""
_REACH_PX = 6
"""How far the peak is looked for; wider than what is believed, to tell a shift that is too long."""
_RIVAL_PX = 16
"""How far from the peak its highest rival is looked for, pixels of the sensor."""
_RIVAL_APART_PX = 4
"""How far from the peak a rival begins, pixels of the sensor."""
_FINE_PX = 0.1
"""Spacing of the samples of the correlation that a parabola is laid through."""


@dataclass(frozen=True)
class Shift:
    """By how much an acquisition's pixels must move to lie on the reference."""

    dy_px: float = 0.0
    """Pixels southward."""
    dx_px: float = 0.0
    """Pixels eastward."""
    confidence: float = 0.0
    """How far the correlation's peak stands above its highest rival, as a share of the peak, 0..1."""
    error_px: float = 0.0
    """Standard error of either component, pixels, from how well the phases agree."""
    reason: str = ""
    """Why nothing is moved; empty where the shift is believed."""
    before: float = 0.0
    """How well it agrees with the reference as it lies: mean cosine of the phases, by their energy, -1..1."""
    after: float = 0.0
    """The same once moved."""

    def __bool__(self) -> bool:
        return (self.dy_px, self.dx_px) != (0.0, 0.0)

    @property
    def settled(self) -> Shift:
        """The shift that is carried out: none where it is short, or no longer than twice its error."""
        if max(abs(self.dy_px), abs(self.dx_px)) >= max(SETTLED_PX, 2 * self.error_px):
            return self
        return replace(self, dy_px=0.0, dx_px=0.0, after=self.before)


def estimate(
    image: NDArray[Any], reference: NDArray[np.floating], valid: NDArray[np.bool_], *, pixel: float = 1.0
) -> Shift:
    """Estimates how an acquisition must move to lie on a reference; see `Template.locate`."""
    return Template(reference, pixel=pixel).locate(image, valid)


class Template:
    """A reference made ready, to be compared with many acquisitions.

    Phase correlation: the spectra's product without its magnitudes, whose transform has a peak at the shift. Clouds
    and missing pixels enter as zeros into images of zero mean, each with its own fading mask: a mask has no
    counterpart in the other image and cannot decide.

    Source: Kuglin and Hines 1975, The phase correlation image alignment method. The refinement by a local transform
    follows Guizar-Sicairos et al. 2008, Efficient subpixel image registration algorithms; we end with a parabola.
    """

    def __init__(self, reference: NDArray[np.floating], *, pixel: float = 1.0) -> None:
        """Makes a reference ready.

        Args:
            reference: (H, W) stored values, NaN where there is none.
            pixel: side of the sensor's own pixels in pixels of the array; 2 for 20 m on a 10 m grid. Finer detail
                is that of the grid, which never moves, and is left out.
        """
        self._seen = np.isfinite(reference)
        self._shape = reference.shape
        self._size = tuple(fft.next_fast_len(side, real=True) for side in reference.shape)
        weight = _faded(self._seen) * _window(reference.shape, share=0.05)
        self._even = _evened(np.nan_to_num(reference), self._seen)
        if self._even is not None:
            self._even *= weight
            self._spectrum = fft.rfft2(self._even, self._size)
        fy, fx = fft.fftfreq(self._size[0])[:, None], fft.rfftfreq(self._size[1])[None]
        self._fy, self._fx = fy[:, 0], fx[0]
        # The half that a real transform leaves out counts as well.
        self._twice = np.where((fx[0] == 0) | (fx[0] == 0.5), 1, 2).astype(np.float32)
        scale = np.float32(-0.5 * (pixel / _PASS) ** 2)
        self._pass = np.exp(scale * (fy**2 + fx**2).astype(np.float32))
        if pixel > 1:
            self._pass *= np.maximum(np.abs(fy), fx) < _COARSE_PASS / pixel
        self._pixel = pixel
        turned = self._pass * self._twice * (2 * np.pi * fy) ** 2
        self._spread = float(np.sum(turned * self._pass)) / float(np.sum(turned)) ** 2

    def locate(self, image: NDArray[Any], valid: NDArray[np.bool_]) -> Shift:
        """Estimates the shift of an acquisition.

        Args:
            image: (H, W) values of one band; radar in dB, whose speckle then adds.
            valid: (H, W) True where it shows the surface.

        Returns:
            The shift, or none with the reason: too few pixels, too little texture, no clear peak, a peak too far.
        """
        seen = valid & np.isfinite(image)
        if np.count_nonzero(seen & self._seen) < MIN_CLEAR_PX:
            return Shift(reason=TOO_FEW_PIXELS)
        even = _evened(image, seen)
        if even is None or self._even is None:
            return Shift(reason=TOO_LITTLE_TEXTURE)
        weight = _faded(seen) * _window(self._shape, share=0.5)
        even *= weight
        product = self._spectrum * np.conj(fft.rfft2(even, self._size))
        size = np.abs(product)
        phase = product * (self._pass / np.maximum(size, 1e-6 * float(size.max())))
        surface = fft.irfft2(phase, self._size)
        dy, dx, peak = self._refined(phase, *_highest(surface))
        confidence = round(_above_rivals(surface, dy, dx, peak, self._pixel), 3)
        product *= self._pass
        whole = max(float(self._samples(np.abs(product), [0.0], [0.0])[0, 0]), 1e-9)
        before, after = (
            round(float(self._samples(product, [y], [x])[0, 0]) / whole, 3) for y, x in ((0.0, 0.0), (dy, dx))
        )
        error = self._error(peak, weight)
        return _judged(Shift(round(dy, 3), round(dx, 3), confidence, error, "", before, after))

    def _error(self, peak: float, weight: NDArray[np.float32]) -> float:
        """Gives the standard error of either component of a shift.

        That of the slope of a line through the phases: they scatter as far as the peak stays below its height for
        perfect agreement, and a window and clouds leave fewer of them independent.
        """
        agreement = min(max(peak / float(self._samples(self._pass, [0.0], [0.0])[0, 0]), 1e-3), 1.0)
        power = weight.astype(np.float64) ** 2
        repeated = math.prod(self._size) * float(np.vdot(power, power)) / float(power.sum()) ** 2
        variance = 2 * min(1 - agreement**2, 0.5) * repeated * self._spread / agreement**2
        return round(math.sqrt(variance), 3)

    def _refined(self, phase: NDArray[Any], y: int, x: int) -> tuple[float, float, float]:
        """Gives (dy, dx, height) of the peak near a whole-pixel place."""
        near = np.arange(-9, 10) * _FINE_PX
        fine = self._samples(phase, y + near, x + near)
        row, col = (int(place) for place in np.unravel_index(int(fine.argmax()), fine.shape))
        dy = y + near[row] + _FINE_PX * _vertex(fine[:, col], row)
        dx = x + near[col] + _FINE_PX * _vertex(fine[row], col)
        return float(dy), float(dx), float(fine[row, col])

    def _samples(self, spectrum: NDArray[Any], ys: Any, xs: Any) -> NDArray[np.float64]:
        """Gives the inverse transform at any places: two small matrix products instead of a whole transform."""
        rows = np.exp(2j * np.pi * np.outer(ys, self._fy)).astype(np.complex64)
        cols = np.exp(2j * np.pi * np.outer(self._fx, xs)).astype(np.complex64) * self._twice[:, None]
        found: NDArray[np.float64] = np.real((rows @ spectrum) @ cols).astype(float) / math.prod(self._size)
        return found


def shifted(
    values: NDArray[Any], valid: NDArray[np.bool_], shift: Shift, *, nodata: int
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Moves an acquisition.

    By whole pixels values are copied; by parts of a pixel the two or four neighbours are averaged by their
    distance, and rounded. A pixel is valid where all that it is made of is; what comes from outside is not.

    Args:
        values: (B, H, W) stored integers.
        valid: (H, W) True where they show the surface.
        shift: by how much.
        nodata: value of a band that was not measured.

    Returns:
        values and valid, as given where the shift is zero, else new arrays of the same type and shape, with nodata
        where nothing is valid.
    """
    if not shift:
        return values, valid
    moved, seen = np.full_like(values, nodata), np.zeros_like(valid)
    (y0, wy), (x0, wx) = _split(shift.dy_px), _split(shift.dx_px)
    ys, from_ys = _overlap(valid.shape[0], y0, bool(wy))
    xs, from_xs = _overlap(valid.shape[1], x0, bool(wx))
    if ys.start >= ys.stop or xs.start >= xs.stop:
        return moved, seen
    corners = [
        ((slice(from_ys.start + y, from_ys.stop + y), slice(from_xs.start + x, from_xs.stop + x)), share)
        for y, share_y in ((0, 1 - wy), (-1, wy))
        for x, share_x in ((0, 1 - wx), (-1, wx))
        if (share := share_y * share_x) > 0
    ]
    clear = np.logical_and.reduce([valid[place] for place, _ in corners])
    for band, out in zip(values, moved[:, ys, xs], strict=True):
        mean = np.zeros(clear.shape, np.float32)
        known = clear.copy()
        for place, share in corners:
            mean += np.float32(share) * band[place]
            known &= band[place] != nodata
        out[known] = np.rint(mean)[known].astype(values.dtype)
    seen[ys, xs] = clear & (moved[:, ys, xs] != nodata).any(axis=0)
    moved[:, ~seen] = nodata
    return moved, seen


def _judged(found: Shift) -> Shift:
    reason = ""
    if found.confidence < MIN_CONFIDENCE:
        reason = NO_PEAK
    elif max(abs(found.dy_px), abs(found.dx_px)) > MAX_SHIFT_PX:
        reason = TOO_FAR
    elif found.error_px > MAX_ERROR_PX:
        reason = NOT_PRECISE
    elif found.settled and found.after <= max(found.before, 0.0):
        reason = NO_GAIN
    if reason:
        return replace(found, dy_px=0.0, dx_px=0.0, reason=reason, after=found.before)
    return found


def _evened(image: NDArray[Any], seen: NDArray[np.bool_]) -> NDArray[np.float32] | None:
    """Takes away brightness and contrast of the neighbourhood; None for an image without any texture."""
    share = np.maximum(uniform_filter(seen.astype(np.float32), _LOCAL_PX), 1e-3)
    level = float(np.mean(image, where=seen, dtype=np.float64)) if seen.any() else 0.0
    own = np.where(seen, image - np.float32(level), 0).astype(np.float32)
    own -= uniform_filter(own, _LOCAL_PX) / share
    own *= seen
    power = uniform_filter(own * own, _LOCAL_PX) / share
    whole = float(np.mean(power, where=seen)) if seen.any() else 0.0
    if whole < 1e-6:
        return None
    # Places with a tenth of the usual contrast are not blown up further.
    own /= np.sqrt(np.maximum(power, 0.01 * whole))
    return np.clip(own, -3, 3, out=own)


def _faded(seen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Gives weights that fall to 0 towards the edges of a mask."""
    return np.clip(2 * uniform_filter(seen.astype(np.float32), _EDGE_PX) - 1, 0, 1) * seen


def _window(shape: tuple[int, ...], *, share: float) -> NDArray[np.float32]:
    """Gives weights that fall to 0 over a share of each side at the array's rim; half of it is a Hann window."""
    rows, cols = (_ramp(side, max(3, int(side * share))) for side in shape)
    return rows[:, None] * cols


def _ramp(side: int, length: int) -> NDArray[np.float32]:
    rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(side) + 0.5) / length)
    whole = np.where(np.arange(side) < length, rise, 1.0)
    return np.minimum(whole, whole[::-1]).astype(np.float32)


def _highest(surface: NDArray[Any]) -> tuple[int, int]:
    near = _around(surface, 0, 0, _REACH_PX)
    row, col = np.unravel_index(int(near.argmax()), near.shape)
    return int(row) - _REACH_PX, int(col) - _REACH_PX


def _above_rivals(surface: NDArray[Any], dy: float, dx: float, peak: float, pixel: float) -> float:
    if peak <= 0:
        return 0.0
    reach, apart = round(_RIVAL_PX * pixel), round(_RIVAL_APART_PX * pixel)
    near = _around(surface, round(dy), round(dx), reach)
    near[reach - apart : reach + apart + 1, reach - apart : reach + apart + 1] = -np.inf
    return min(max(1.0 - float(near.max()) / peak, 0.0), 1.0)


def _around(surface: NDArray[Any], y: int, x: int, reach: int) -> NDArray[Any]:
    """Copies a square of a surface that goes on at its other side."""
    places = np.arange(-reach, reach + 1)
    return np.take(np.take(surface, y + places, axis=0, mode="wrap"), x + places, axis=1, mode="wrap")


def _vertex(samples: NDArray[Any], place: int) -> float:
    """Gives how far from a sample the parabola through it and its neighbours is highest, in samples."""
    if not 0 < place < len(samples) - 1:
        return 0.0
    left, middle, right = (float(one) for one in samples[place - 1 : place + 2])
    bend = left - 2 * middle + right
    return 0.5 * (left - right) / bend if bend < 0 else 0.0


def _split(length: float) -> tuple[int, float]:
    """Splits a shift into whole pixels and the share of the neighbour that lies one further back."""
    whole = math.floor(length)
    return whole, length - whole


def _overlap(side: int, whole: int, mixed: bool) -> tuple[slice, slice]:
    """Gives where pixels arrive and where they come from."""
    first, last = max(whole + mixed, 0), min(side, side + whole)
    return slice(first, last), slice(first - whole, last - whole)
