"""The log lines of a simulation without a folder: hour after hour, as `simulate` would write them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from dsp_pipeline.simulator import logs
from dsp_pipeline.simulator.market import REQUESTS
from dsp_pipeline.simulator.parameters import Simulation
from dsp_pipeline.simulator.simulate import OUTCOMES, Lines, made_world, outcomes
from dsp_pipeline.simulator.text import content
from dsp_pipeline.simulator.traffic import chunks_of, draw_chunk


def hours(simulation: Simulation, requests: int = REQUESTS) -> Iterator[dict[str, bytes]]:
    """The lines of each hour by event, as they would stand in the hour's file; just the events that are asked for.

    The same bytes for the same simulation. Rates of faults are passed over. Fewer `requests` than `simulate` finds its
    levels on make another market, sooner.
    """
    world, levels, pieces = made_world(simulation.seed, simulation.impressions_per_day, requests)
    makers = {"bid": logs.bid_lines, "win": logs.win_lines, "impression": logs.impression_lines}
    waiting: dict[str, defaultdict[int, Lines]] = {event: defaultdict(list) for event in OUTCOMES}
    for hour in range(simulation.first_hour, simulation.first_hour + simulation.hours):
        written: dict[str, list[bytes]] = {event: [] for event in simulation.events}
        for number in range(chunks_of(simulation, hour)):
            chunk = draw_chunk(simulation, world, levels, hour, number)
            for event, later, ms, line in outcomes(simulation, pieces, chunk):
                waiting[event][later].append((ms, line))
            for event, make in makers.items():
                if event in written:
                    written[event].append(bytes(content(make(simulation, pieces, chunk))))
        for event in OUTCOMES:
            lines = sorted(waiting[event].pop(hour, []))
            if event in written:
                written[event] += [line for _, line in lines]
        yield {event: b"".join(lines) for event, lines in written.items()}
