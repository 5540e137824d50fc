"""From a graph to bound launches: fusion, schedule, source, memory, replay."""

from clnet.plan.build import Options
from clnet.plan.plan import Plan

__all__ = ["Options", "Plan"]
