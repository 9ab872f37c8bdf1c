"""What traffic would cost and gain: a trace of requests ranked by the code that routes."""

from freerelay_core.simulation.replay import Cancelled, PreferenceResult, Simulation, simulate
from freerelay_core.simulation.trace import Trace, read_trace, trace_of
from freerelay_core.simulation.workload import ENOUGH, standard_workload, tenant_workload

__all__ = [
    "ENOUGH",
    "Cancelled",
    "PreferenceResult",
    "Simulation",
    "Trace",
    "read_trace",
    "simulate",
    "standard_workload",
    "tenant_workload",
    "trace_of",
]
