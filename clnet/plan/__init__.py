"""From a graph to bound launches: fusion, source, memory, replay."""

from clnet.plan.plan import Options, Plan, build

__all__ = ["Options", "Plan", "build"]
