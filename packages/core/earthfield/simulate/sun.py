"""Where the sun stands."""

from __future__ import annotations

import datetime
import math


def sun_position(when: datetime.datetime, lon: float, lat: float) -> tuple[float, float]:
    """Elevation above the horizon and azimuth clockwise from north, degrees, good to about 0.5.

    Source: Spencer 1971, "Fourier series representation of the position of the sun".

    Args:
        when: Instant, UTC.
        lon: Degrees east.
        lat: Degrees north.
    """
    hours = when.hour + when.minute / 60.0 + when.second / 3600.0
    angle = 2 * math.pi * (when.timetuple().tm_yday - 1 + (hours - 12) / 24) / 365.0
    cos, sin = math.cos, math.sin
    declination = (
        0.006918 - 0.399912 * cos(angle) + 0.070257 * sin(angle) - 0.006758 * cos(2 * angle)
        + 0.000907 * sin(2 * angle) - 0.002697 * cos(3 * angle) + 0.00148 * sin(3 * angle)
    )  # fmt: skip
    equation_min = 229.18 * (
        0.000075
        + 0.001868 * cos(angle)
        - 0.032077 * sin(angle)
        - 0.014615 * cos(2 * angle)
        - 0.040849 * sin(2 * angle)
    )
    hour_angle = math.radians(((hours * 60 + equation_min + 4 * lon) / 4.0 - 180.0 + 540.0) % 360.0 - 180.0)
    phi = math.radians(lat)
    up = sin(phi) * sin(declination) + cos(phi) * cos(declination) * cos(hour_angle)
    elevation = math.asin(max(-1.0, min(1.0, up)))
    east = -cos(declination) * sin(hour_angle)
    north = sin(declination) * cos(phi) - cos(declination) * cos(hour_angle) * sin(phi)
    return math.degrees(elevation), math.degrees(math.atan2(east, north)) % 360.0


def local_instant(day: datetime.date, lon: float, solar_hour: float, second: int) -> datetime.datetime:
    """The UTC instant on a UTC day when it is `solar_hour` by the sun at a longitude, plus some seconds."""
    seconds = ((solar_hour - lon / 15.0) % 24.0) * 3600.0 + second
    start = datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC)
    return start + datetime.timedelta(seconds=int(seconds) % 86400)
