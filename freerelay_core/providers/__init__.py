"""Upstream adapters: everything that knows how a vendor is spoken to."""

from freerelay_core.providers.base import ProviderClient, UpstreamAnswer, UpstreamError, UpstreamRequest, UpstreamTimes
from freerelay_core.providers.chat_format import ChatAnswer, EventReader, Usage, read_answer
from freerelay_core.providers.contract import keeps_contract
from freerelay_core.providers.openai_wire import OpenAIWire
from freerelay_core.providers.rate_limits import exhausted, rate_limits
from freerelay_core.providers.simulated import SimulatedProvider
from freerelay_core.providers.upstream_body import asks_for_usage, upstream_body
from freerelay_core.providers.vendor_keys import VendorKeys, find_vendor_keys

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
    "rate_limits",
    "read_answer",
    "upstream_body",
]
