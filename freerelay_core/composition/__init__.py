"""The running application of this process, for the API and the pages alike."""

from freerelay_core.composition.application import Application, GradedDecision, SettingsView, current
from freerelay_core.composition.state import EndpointState, RouterState, router_state

__all__ = [
    "Application",
    "EndpointState",
    "GradedDecision",
    "RouterState",
    "SettingsView",
    "current",
    "router_state",
]
