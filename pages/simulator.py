"""Simulator: how a request, or a whole trace, would be ranked, what that costs, and why. Nobody is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from freerelay_core.clock import new_id
from freerelay_core.composition import Application
from freerelay_core.decision import Decision, decide
from freerelay_core.preference import RoutingPreference, effective_preference
from freerelay_core.profile import RequestProfile
from freerelay_core.scoring import Budget
from freerelay_core.snapshot import Snapshot, catalogue_snapshot
from freerelay_core.store.values import Identity
from pages import _simulator_body as body
from pages import _simulator_input as inputs
from pages import _simulator_request as request
from pages import _simulator_trace as trace
from pages._layout import idle_notice, left_out, page_title, revision_mark, simulated_notice
from pages._session import application, budget_left, fleet_snapshot, identity
from pages._simulator_words import budget_sentence, profile_words, snapshot_words
from pages._trace_job import Setting

_SNAPSHOT_HELP = (
    "Live: the fleet as it is now, with its failures and limits. Catalogue: what is known of the endpoints without any "
    "traffic, as `freerelay decide` uses it."
)


def render() -> None:
    """The page: the answer on the left, what is asked on the right; on a phone the answer comes first."""
    app, who = application(), identity()
    asked = {name: st.query_params.get_all(name) for name in st.query_params}
    page_title("Simulator")
    left, right = st.columns([5, 3], gap="medium")
    below = st.container()
    with right:
        kind = _choice("Ask with a", inputs.INPUTS, "input")
    with left:
        left_out(map(str, inputs.bad_parameters(asked)))
    if kind == "trace":
        _trace(app, who, (left, right, below))
    else:
        _request(app, who, asked, kind, (left, right, below))
    with left:
        idle_notice(fleet_snapshot())
    simulated_notice(fleet_snapshot())
    revision_mark()


def _request(
    app: Application,
    who: Identity,
    asked: Mapping[str, Sequence[str]],
    kind: str,
    places: tuple[DeltaGenerator, DeltaGenerator, DeltaGenerator],
) -> None:
    left, right, below = places
    now, in_force = app.clock.now(), _in_force(who)
    with right:
        preference = inputs.preference_widget(in_force)
        if kind == "body":
            body.body_widget(now.hour)
        profile = inputs.profile_widgets(now.hour, tokens=True)
        snapshot = _snapshot(app, now)
    budget = budget_left(who.tenant) if who.tenant else None
    decisions = {each: _decide(app, who, snapshot, profile, each, budget=budget) for each in RoutingPreference}
    decision = decisions[preference]
    money = budget_sentence(decision, who.tenant.budget_usd if who.tenant else None)
    basis_line = " ".join(filter(None, (f"{profile_words(profile)}. {snapshot_words(snapshot, now)}.", money)))
    with left:
        left_out(f"{name} (not in this ranking)" for name in request.unknown_endpoints(decision, asked))
        request.ranking(decision, basis_line, money)
    with below:
        request.details(decision, decisions, basis_line)


def _trace(
    app: Application,
    who: Identity,
    places: tuple[DeltaGenerator, DeltaGenerator, DeltaGenerator],
) -> None:
    left, right, below = places
    now, tenant = app.clock.now(), who.tenant
    owner = tenant.id if tenant else "operator"
    with left:
        trace.show_ranked_trace(owner, now, below)
    with right:
        upload, rest = st.container(), st.container()
        with rest:
            st.caption("What the file does not say is taken to be the same for every request:")
            like = inputs.profile_widgets(now.hour, tokens=False)
            snapshot = _snapshot(app, now)
        with upload:
            tier = tenant.tier if tenant else None
            trace.upload(owner, like, Setting(snapshot, app.policy, tenant.id if tenant else None, tier, now))


def _in_force(who: Identity) -> RoutingPreference:
    return effective_preference(tenant=who.tenant.routing_preference if who.tenant else None).value


def _decide(
    app: Application,
    who: Identity,
    snapshot: Snapshot,
    profile: RequestProfile,
    preference: RoutingPreference,
    *,
    budget: Budget | None,
) -> Decision:
    """The decision that the endpoint would take for this caller, were `preference` the one in force."""
    return decide(
        snapshot,
        profile,
        decision_id=new_id(app.clock),
        policy=app.policy,
        tenant_preference=preference,
        tenant_id=who.tenant.id if who.tenant else None,
        tier=who.tenant.tier if who.tenant else None,
        budget=budget,
    )


def _snapshot(app: Application, now: datetime) -> Snapshot:
    """The snapshot to rank on, chosen and named."""
    kind = _choice("Snapshot", inputs.SNAPSHOTS, "snapshot", _SNAPSHOT_HELP)
    snapshot = (
        fleet_snapshot()
        if kind == "live"
        else catalogue_snapshot(app.catalogue, now, real_providers=app.vendor_keys.enabled)
    )
    st.caption(f"{snapshot_words(snapshot, now)}.")
    return snapshot


def _choice(label: str, options: Sequence[str], key: str, explanation: str | None = None) -> str:
    """One of a few, bound to the URL; the first is the default."""
    chosen = st.segmented_control(
        label, options, default=options[0], required=True, key=key, bind="query-params", help=explanation
    )
    return chosen or options[0]


render()
