"""Landscapes that never were, as satellites would see them: for the demo, tests and benchmarks."""

from __future__ import annotations

from earthfield.simulate.many import LandscapeSet, SetReport, simulate_set
from earthfield.simulate.run import simulate
from earthfield.simulate.spec import Landscape, SimulateReport

__all__ = ["Landscape", "LandscapeSet", "SetReport", "SimulateReport", "simulate", "simulate_set"]
