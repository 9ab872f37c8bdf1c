"""Upstream adapters: everything that knows how a vendor is spoken to.

`OpenAIWire` is loaded when it is asked for: only a router needs its HTTP client, which takes a quarter of a second.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from freerelay_core.providers.base import ProviderClient, UpstreamAnswer, UpstreamError, UpstreamRequest, UpstreamTimes
from freerelay_core.providers.chat_format import ChatAnswer, EventReader, Usage, read_answer
from freerelay_core.providers.contract import keeps_contract, prepare_for_schemas
from freerelay_core.providers.rate_limits import exhausted, rate_limits
from freerelay_core.providers.simulated import SimulatedProvider
from freerelay_core.providers.upstream_body import asks_for_usage, upstream_body
from freerelay_core.providers.vendor_keys import VendorKeys, find_vendor_keys

if TYPE_CHECKING:
    from freerelay_core.providers.openai_wire import OpenAIWire

__all__ = [
    "ChatAnswer",
    "EventReader",
    "OpenAIWire",
    "ProviderClient",
    "SimulatedProvider",
    "UpstreamAnswer",
    "UpstreamError",
    "UpstreamRequest",
    "UpstreamTimes",
    "Usage",
    "VendorKeys",
    "asks_for_usage",
    "exhausted",
    "find_vendor_keys",
    "keeps_contract",
    "prepare_for_schemas",
    "rate_limits",
    "read_answer",
    "upstream_body",
]


def __getattr__(name: str) -> Any:
    if name != "OpenAIWire":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault(name, import_module(f"{__name__}.openai_wire").OpenAIWire)
