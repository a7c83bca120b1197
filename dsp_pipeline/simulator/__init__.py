"""A seeded DSP that writes raw hourly logs, for the demo and for tests; the true click rates are known."""

from __future__ import annotations

from dsp_pipeline.simulator.files import deliver_late
from dsp_pipeline.simulator.manifest import HourCounts, Manifest
from dsp_pipeline.simulator.parameters import DEMO_FAULTS, Faults, Simulation
from dsp_pipeline.simulator.simulate import simulate

__all__ = ["DEMO_FAULTS", "Faults", "HourCounts", "Manifest", "Simulation", "deliver_late", "simulate"]
