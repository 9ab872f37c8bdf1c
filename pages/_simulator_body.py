"""A pasted chat-completions body: read as the endpoint would read it, it fills in the widgets of the profile."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import streamlit as st

from freerelay_core.composition.wishes import read_wishes
from freerelay_core.errors import FreeRelayError, InvalidRequest
from freerelay_core.preference import RoutingPreference
from freerelay_core.profile import NEEDS, RequestProfile, profile_request
from pages._format import count, markdown
from pages._simulator_input import MAX_ANSWERS, MAX_TOKENS, RULE_AXES
from pages._simulator_words import axes_sentence, output_words

__all__ = ["ReadBody", "body_widget", "read_body"]

MAX_BODY = 1_000_000
"""Characters of a pasted body."""

_PLACEHOLDER = """{
  "model": "freerelay/auto",
  "messages": [{"role": "user", "content": "Summarise this contract: ..."}],
  "max_tokens": 400
}"""


@dataclass(frozen=True, slots=True)
class ReadBody:
    """What a pasted body says."""

    profile: RequestProfile
    preference: RoutingPreference | None
    """The preference that the body asks for."""
    pinned: str | None
    """The one endpoint that the body names."""


def body_widget(hour_now: int) -> None:
    """The field for a chat-completions body. Reading it fills in the profile's widgets; the text is kept nowhere."""

    def read() -> None:
        try:
            found = read_body(st.session_state.get("body_text") or "", hour_now)
        except FreeRelayError as error:
            st.session_state["_body_error"], st.session_state["_body_read"] = error.message, None
        else:
            st.session_state["_body_error"], st.session_state["_body_read"] = None, _as_read(found)
            st.session_state.update(_widget_values(found))

    with st.form("body", border=False):  # so that Ctrl+Enter in the field reads it, too
        st.text_area(
            "Chat-completions request body (JSON)",
            key="body_text",
            height=190,
            max_chars=MAX_BODY,
            placeholder=_PLACEHOLDER,
            help="As sent to POST /v1/chat/completions. It is read here and not stored; the link holds the profile "
            "alone.",
        )
        st.form_submit_button("Read this request", key="read_body", type="primary", on_click=read)
    if error := st.session_state.get("_body_error"):
        st.error(markdown(f"{error} The ranking is for the profile below, as it was."))
    elif read_as := st.session_state.get("_body_read"):
        st.success(markdown(read_as))
    else:
        st.caption("Nothing is read yet: the ranking is for the profile below.")


def read_body(text: str, hour_utc: int) -> ReadBody:
    """What a pasted body says, read as the endpoint would read it.

    Raises `InvalidRequest` naming line and column where it is not JSON, `UnprocessableRequest` naming the field.
    """
    if not text.strip():
        raise InvalidRequest("Paste the JSON body of a chat-completions request first.", param="body")
    try:
        body = json.loads(text, parse_constant=_no_constant)
        json.dumps(body, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            f"The body is not JSON: line {error.lineno}, column {error.colno}: {error.msg}.", param="body"
        ) from None
    except UnicodeEncodeError:
        raise InvalidRequest("The body holds half of a character (a lone surrogate).", param="body") from None
    except ValueError:
        raise InvalidRequest("The body holds a number with too many digits.", param="body") from None
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply.", param="body") from None
    if not isinstance(body, dict):
        raise InvalidRequest(f"The body must be a JSON object, not {_json_name(body)}.", param="body")
    wishes = read_wishes(body)
    profile = profile_request(body, hour_utc=hour_utc, task=wishes.task, depth=wishes.depth)
    return ReadBody(profile, wishes.preference, wishes.endpoint)


def _no_constant(name: str) -> float:
    raise InvalidRequest(f"The body is not JSON: {name} is no JSON number.", param="body")


def _json_name(value: object) -> str:
    names: dict[type, str] = {list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _widget_values(found: ReadBody) -> dict[str, Any]:
    """The values of the widgets that show what was read."""
    profile = found.profile
    values = {
        "task": profile.family.value,
        "depth": profile.depth.label,
        "class": profile.latency_class.label,
        "form": profile.contract.label,
        "needs": [need for need in NEEDS if need in profile.needs],
        "in": min(profile.input_tokens, MAX_TOKENS),
        "out": min(profile.output_tokens, MAX_TOKENS),
        "cached": min(profile.cached_tokens, MAX_TOKENS),
        "n": min(profile.answers, MAX_ANSWERS),
        "limit": None if profile.answer_limit is None else min(profile.answer_limit, MAX_TOKENS),
        "locked": profile.locked_down,
        **{name: getattr(profile, name).label for name in RULE_AXES},
    }
    return values if found.preference is None else {**values, "under": found.preference.value}


def _as_read(found: ReadBody) -> str:
    profile = found.profile
    asks = f" It asks for {found.preference}." if found.preference else ""
    pins = f" It pins {found.pinned}; here all endpoints are ranked." if found.pinned else ""
    return (
        f"Read as {profile.family} ({profile.reasons['family']}), {profile.depth.label} ({profile.reasons['depth']}), "
        f"about {count(profile.input_tokens, 'token')} in ({count(profile.cached_tokens)} of them sent before) and "
        f"{output_words(profile)}. {axes_sentence(profile)}{asks}{pins} "
        "Correct below what is wrong."
    )
