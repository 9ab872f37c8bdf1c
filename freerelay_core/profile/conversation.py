"""The messages of a request as the rest of the profile reads them: who said how much, what was asked, what repeats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from freerelay_core.errors import UnprocessableRequest

__all__ = ["Conversation", "read_conversation"]

_INSTRUCTIONS = ("system", "developer")
_TOOL_RESULTS = ("tool", "function")


class Conversation(NamedTuple):
    """Texts hold no roles and no markup; sizes of single messages are in characters."""

    repeated: str
    """Text before the last answer that an assistant gave: it was sent before, with the request that was answered."""
    fresh: str
    """The rest of the text."""
    system: str
    """What the operator of the client instructs: all system and developer messages."""
    asked: str
    """The last message of the user."""
    messages: int
    repeated_messages: int
    images: int
    repeated_images: int
    user_turns: int
    tool_results: int
    longest: int
    """Characters of the longest message."""

    @property
    def answered(self) -> bool:
        """Whether an assistant has spoken before what is asked now."""
        return self.repeated_messages > 0


def read_conversation(body: Mapping[str, Any]) -> Conversation:
    """The conversation in a chat-completions body. Parts that are no text and no picture count for nothing.

    Raises `UnprocessableRequest` for `messages` that are no messages.
    """
    messages = _messages(body)
    last = len(messages) - 1
    texts: list[str] = []
    system: list[str] = []
    asked = ""
    cut = images = repeated_images = user_turns = tool_results = 0
    for index, message in enumerate(messages):
        role = message["role"]
        text, pictures = _content(message)
        if role == "user":
            asked = text
            user_turns += 1
        elif role == "assistant":
            # At the very end it is the beginning of the answer, not an answer that was given.
            if index < last:
                cut, repeated_images = index, images
        elif role in _INSTRUCTIONS:
            system.append(text)
        elif role in _TOOL_RESULTS:
            tool_results += 1
        texts.append(text)
        images += pictures
    return Conversation(
        repeated="\n".join(texts[:cut]),
        fresh="\n".join(texts[cut:]),
        system="\n".join(system),
        asked=asked,
        messages=len(messages),
        repeated_messages=cut,
        images=images,
        repeated_images=repeated_images,
        user_turns=user_turns,
        tool_results=tool_results,
        longest=max(map(len, texts)),
    )


def _messages(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise UnprocessableRequest("messages must be a non-empty list.", param="messages")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise UnprocessableRequest(
                f"messages[{index}] must be an object with a role and content.", param=f"messages[{index}]"
            )
    return messages


def _content(message: Mapping[str, Any]) -> tuple[str, int]:
    """The text of a message, calls of tools included, and its number of pictures."""
    content, calls = message.get("content"), message.get("tool_calls")
    if isinstance(content, str) and not calls:
        return content, 0
    parts = [content] if isinstance(content, str) else []
    images = 0
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, dict):
            continue
        if part.get("type") == "image_url":
            images += 1
        elif isinstance(part.get("text"), str):
            parts.append(part["text"])
    parts.extend(_calls(calls))
    return "\n".join(parts), images


def _calls(calls: object) -> Sequence[str]:
    """Names and arguments of the tools that an assistant called."""
    functions = [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    return [
        value
        for function in functions
        if isinstance(function, dict)
        for value in (function.get("name"), function.get("arguments"))
        if isinstance(value, str)
    ]
