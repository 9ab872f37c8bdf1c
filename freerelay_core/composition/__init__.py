"""The running application of this process, for the API and the pages alike.

Its names are loaded when they are asked for: a command that needs the store alone starts a second sooner.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from freerelay_core.composition.application import Application, SettingsView, current
    from freerelay_core.composition.state import EndpointState, RouterState, router_state

__all__ = [
    "Application",
    "EndpointState",
    "RouterState",
    "SettingsView",
    "current",
    "router_state",
]

_OF_STATE = ("EndpointState", "RouterState", "router_state")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(f"{__name__}.{'state' if name in _OF_STATE else 'application'}")
    return globals().setdefault(name, getattr(home, name))
