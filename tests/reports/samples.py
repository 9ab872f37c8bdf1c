"""Reports to write: of ordinary names, and of names that some reader would run, load or mistake."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from builders import NOON, endpoint, request, snapshot

from freerelay_core.catalogue import Endpoint
from freerelay_core.decision import Decision, decide
from freerelay_core.policy import NO_POLICY
from freerelay_core.reports import RankingReport, report_of_decision, report_of_simulation, report_of_what_if
from freerelay_core.simulation import (
    Simulation,
    WhatIf,
    World,
    read_scenario,
    read_trace,
    simulate,
    standard_workload,
    traffic_of_trace,
    what_if,
)

MADE_AT = NOON + timedelta(seconds=90)

HOSTILE = (
    '=HYPERLINK("http://evil.example","x")',
    "+1+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd",
    "-2+3",
    "\tTAB",
    "＝1+1",
    "<script>document.title='run'</script>",
    "\"><img src=http://evil.example/p onerror=document.title='run'>",
    "</title></style></svg><svg onload=document.title='run'>",
    "&lt;b&gt;",
    'two\r\nlines, and "quotes"',
    "nul\0 and lone \udcff",
    "turned \u202egnp.exe",
    "1e5",
    "日本語 🚀",
)


def fleet(*names: str, **changes: Any) -> tuple[Endpoint, ...]:
    """An endpoint for each name, each dearer, slower and better than the one before."""
    return tuple(
        endpoint(
            f"{name}/m{i}",
            usd=(0.1 * 1.7**i, 0.01, 0.4 * 1.7**i),
            ability=1200.0 + 40 * i,
            first_token_s=0.3 * (i + 1),
            **changes,
        )
        for i, name in enumerate(names)
    )


def ordinary_decision() -> Decision:
    """The ranking of four endpoints, and a fifth that cannot see."""
    seeing = fleet("a", "b", "c", "d", capabilities=frozenset({"tools", "vision"}))
    return decide(snapshot(*seeing, endpoint("z/blind")), request(needs=frozenset({"vision"})), decision_id="d")


def ordinary_simulation() -> Simulation:
    """The standard workload under all three preferences."""
    return simulate(standard_workload(), snapshot(*fleet("a", "b", "c", "d")), seed=7)


def hostile_decision() -> Decision:
    """A request's ranking in which every name is hostile."""
    return decide(snapshot(*fleet(*HOSTILE)), request(), decision_id="d")


def hostile_simulation() -> Simulation:
    """A trace's ranking in which every name is hostile, that of its file too."""
    content = b"time,input_tokens,output_tokens\n" + b"2026-11-24 10:00:00,100,50\n" * 3
    trace = read_trace(content, origin=f"{HOSTILE[0]}{HOSTILE[6]}{HOSTILE[11]}.csv")
    return simulate(trace, snapshot(*fleet(*HOSTILE)))


def ordinary_what_if() -> WhatIf:
    """Dearer endpoints, and one withdrawn."""
    return _what_if("Prices rise", "you@example.org", *fleet("a", "b", "c", "d"))


def hostile_what_if() -> WhatIf:
    """A what-if in which every name is hostile, those of its scenario and its tenant too."""
    return _what_if(HOSTILE[0], HOSTILE[7], *fleet(*HOSTILE))


def _what_if(name: str, tenant: str, *endpoints: Endpoint) -> WhatIf:
    changes = [{"price": {"endpoints": "*", "times": 2}}, {"withdraw": {"endpoints": endpoints[0].id}}]
    traffic = traffic_of_trace(standard_workload(), label=tenant)
    return what_if(traffic, World(snapshot(*endpoints), NO_POLICY), read_scenario({"name": name, "changes": changes}))


def reports() -> dict[str, RankingReport]:
    """One of each, by name."""
    return {
        "request": report_of_decision(ordinary_decision(), made_at=MADE_AT),
        "trace": report_of_simulation(ordinary_simulation(), made_at=MADE_AT),
        "what-if": report_of_what_if(ordinary_what_if(), made_at=MADE_AT),
        "hostile request": report_of_decision(hostile_decision(), made_at=MADE_AT),
        "hostile trace": report_of_simulation(hostile_simulation(), made_at=MADE_AT),
        "hostile what-if": report_of_what_if(hostile_what_if(), made_at=MADE_AT),
    }
