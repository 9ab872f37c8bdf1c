"""The last 24 hours in figures, beside the 24 hours before, and what needs attention."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import streamlit as st

from freerelay_core.snapshot import BREAKER_OPEN, COOLING_DOWN, Snapshot
from freerelay_core.store.values import KeyInfo, Traffic
from pages import _format as fmt
from pages._format import markdown

__all__ = ["DAY", "attention", "headline", "show_figures"]

DAY = timedelta(hours=24)

FAILURES_FROM = 0.05
"""Share of failed requests that is worth a word."""
FEW = 20
"""Requests below which a small share says little."""
MOST_FAILURES_FROM = 0.5
"""Share of failed requests that is worth a word however few there are."""
EXPIRES_SOON = timedelta(days=7)
MOST_ENDPOINTS = 5
"""Endpoints named in one state; a provider that is away takes all of its models with it."""


def headline(traffic: Traffic) -> str:
    """The day in a sentence."""
    if not traffic.requests:
        return "No requests in the last 24 hours"
    demo = f" ({fmt.count(traffic.demo)} of them demo data)" if traffic.demo else ""
    said = f"{fmt.count(traffic.requests, 'request')} in the last 24 hours{demo} cost {fmt.usd(traffic.cost_usd)}"
    if traffic.latency_p50_s is None:
        return f"{said}, none of them answered"
    return f"{said}, half of them done in {fmt.seconds(traffic.latency_p50_s)}"


def show_figures(now: Traffic, before: Traffic, start: datetime, end: datetime) -> None:
    """Five figures with their change."""
    figures = (
        ("Requests", fmt.count(now.requests), _counted(now.requests, before.requests)),
        ("Cost", fmt.usd(now.cost_usd), _spent(now.cost_usd, before.cost_usd)),
        ("Half done in (p50)", fmt.seconds(now.latency_p50_s), _waited(now.latency_p50_s, before.latency_p50_s)),
        ("95 % done in (p95)", fmt.seconds(now.latency_p95_s), _waited(now.latency_p95_s, before.latency_p95_s)),
        ("Fail-overs", fmt.count(now.failed_over), _counted(now.failed_over, before.failed_over)),
    )
    with st.container(horizontal=True, key="figures"):
        for label, value, change in figures:
            st.metric(label, value, change, delta_color="off", delta_arrow="off", border=True)
    st.caption(f"{fmt.date_range(start, end)}, each against the 24 hours before. {_basis(now)}")


def _counted(now: int, before: int) -> str:
    if now == before:
        return "as before"
    return f"{fmt.count(abs(now - before))} {'more' if now > before else 'fewer'}"


def _spent(now: float, before: float) -> str:
    return f"{fmt.difference(now, before, 'cost')}".replace("same", "as before")


def _waited(now: float | None, before: float | None) -> str:
    if now is None or before is None:
        return "nothing to compare"
    return fmt.difference(now, before, "time").replace("same", "as before")


def _basis(traffic: Traffic) -> str:
    """What the figures rest on."""
    if not traffic.requests:
        return ""
    parts = []
    if traffic.demo:
        parts.append(f"{fmt.count(traffic.demo)} of them demo data, generated")
    simulated = traffic.simulated - traffic.demo
    if simulated > 0:
        parts.append(f"{fmt.count(simulated)} answered by simulated endpoints")
    measured = traffic.requests - traffic.simulated
    if measured > 0:
        parts.append(f"{fmt.count(measured)} measured on live traffic")
    return f"Basis: {'; '.join(parts)}."


def attention(traffic: Traffic, snapshot: Snapshot, keys: Sequence[KeyInfo], now: datetime) -> list[str]:
    """What somebody should look at, the worst first, as Markdown with links."""
    said = []
    least = FAILURES_FROM if traffic.requests >= FEW else MOST_FAILURES_FROM
    if traffic.requests and traffic.failed / traffic.requests >= least:
        share = fmt.percent(traffic.failed / traffic.requests)
        said.append(f"{markdown(share)} of the requests failed. [See them](/activity?status=failed)")
    states = ((BREAKER_OPEN, "is failing and gets no requests"), (COOLING_DOWN, "asked us to wait (rate limit)"))
    for state, words in states:
        away = [
            name for name, now_in in zip(snapshot.endpoint_ids, snapshot.availability, strict=True) if now_in == state
        ]
        said += [f"{markdown(endpoint)} {words}." for endpoint in away[:MOST_ENDPOINTS]]
        if len(away) > MOST_ENDPOINTS:
            said.append(f"The same holds for {fmt.count(len(away) - MOST_ENDPOINTS, 'more endpoint')}.")
    ending = (key for key in keys if key.revoked_at is None and _ends_soon(key, now))
    said += [f"The key {markdown(key.name)} ends soon. [See your keys](/keys)" for key in ending]
    return said


def _ends_soon(key: KeyInfo, now: datetime) -> bool:
    return key.expires_at is not None and now < key.expires_at < now + EXPIRES_SOON
