"""What a provider's chat completions differ in from OpenAI's, as data: what a request to it must look like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

__all__ = ["OPENAI_WIRE", "REFUSABLE", "WIRE_FIELDS", "OutputLimit", "StreamUsage", "Wire"]

OutputLimit = Literal["max_tokens", "max_completion_tokens"]

StreamUsage = Literal["on_request", "always"]
"""When a stream states its tokens: where `stream_options.include_usage` asks for it, or without being asked."""

REFUSABLE: Mapping[str, str] = MappingProxyType({"n": "choices", "logit_bias": "logit_bias", "logprobs": "logprobs"})
"""Request fields that a provider may refuse, each with the capability that its endpoints then lack."""


@dataclass(frozen=True, slots=True)
class Wire:
    """The differences of one provider. The defaults say: like OpenAI, as far as is known."""

    name: str = ""
    output_limit: OutputLimit | None = None
    """The one name that the provider knows for the limit of the answer; None: the client's is passed on."""
    stream_usage: StreamUsage | None = None
    """None: not known, so it is not asked for."""
    developer_role: bool = True
    """False: messages of the role `developer` are sent as `system`."""
    renames: Mapping[str, str] = field(default_factory=dict)
    """The provider's own names for fields of OpenAI's."""
    drops: frozenset[str] = frozenset()
    """Hints that it refuses: left out of the request, whose answer is none the worse in form."""
    drops_in_messages: frozenset[str] = frozenset()
    """The same, of each message."""
    refuses: frozenset[str] = frozenset()
    """Fields of `REFUSABLE` that change the form of the answer, so that a request with them goes to others."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with every request."""


OPENAI_WIRE = Wire()

WIRE_FIELDS = tuple(name for name in Wire.__dataclass_fields__ if name != "name")
"""Fields whose source a catalogue file states."""
