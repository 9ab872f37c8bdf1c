"""What traffic would cost and gain: a trace of requests ranked by the code that routes."""

from freerelay_core.simulation.price_rise import CheaperMove, fall_despite_rise
from freerelay_core.simulation.replay import Cancelled, PreferenceResult, Simulation, simulate
from freerelay_core.simulation.scenario import Scenario, World, read_scenario
from freerelay_core.simulation.stream import FileRanking, rank_file
from freerelay_core.simulation.trace import USUAL_REQUEST, Trace, read_trace, trace_of, words_of
from freerelay_core.simulation.traffic import OwnWishes, TracedTenant, Traffic, recorded_traffic, traffic_of_trace
from freerelay_core.simulation.whatif import TenantEffect, WhatIf, what_if
from freerelay_core.simulation.workload import ENOUGH, standard_workload, tenant_workload

__all__ = [
    "ENOUGH",
    "USUAL_REQUEST",
    "Cancelled",
    "CheaperMove",
    "FileRanking",
    "OwnWishes",
    "PreferenceResult",
    "Scenario",
    "Simulation",
    "TenantEffect",
    "Trace",
    "TracedTenant",
    "Traffic",
    "WhatIf",
    "World",
    "fall_despite_rise",
    "rank_file",
    "read_scenario",
    "read_trace",
    "recorded_traffic",
    "simulate",
    "standard_workload",
    "tenant_workload",
    "trace_of",
    "traffic_of_trace",
    "what_if",
    "words_of",
]
