"""What-if: what a change of prices, endpoints, preferences, rules or traffic would do, before anybody feels it.

For operators. Nobody is called and nothing is changed: recorded or uploaded requests are ranked twice.
"""

from __future__ import annotations

import streamlit as st

from freerelay_core.composition import Application
from freerelay_core.errors import PermissionDenied
from freerelay_core.simulation import World
from pages import _what_if_job as jobs
from pages._layout import page_title, revision_mark, simulated_notice
from pages._session import application, fleet_snapshot, identity, run
from pages._what_if_scenario import edit_scenario


def render() -> None:
    """The page: the answer on the left, the scenario on the right; on a phone the answer comes first."""
    app = application()
    if not identity().is_operator:
        raise PermissionDenied("What-if is for the operator.")
    page_title("What-if")
    left, right = st.columns([5, 3], gap="medium")
    below = st.container()
    with left:
        jobs.show_rehearsal(app.clock.now(), below)
    with right:
        _ask(app)
    simulated_notice(fleet_snapshot())
    revision_mark()


def _ask(app: Application) -> None:
    """What to rehearse, and on which traffic."""
    tenants = [tenant.email for tenant in run(app.store.list_tenants())]
    world = World(fleet_snapshot(), app.policy)
    shown = jobs.shown_scenario(st.query_params.get("job"))
    scenario = edit_scenario(app.store, world, tenants, shown)
    chosen = jobs.choose_traffic()
    if scenario is None:
        st.caption("The scenario cannot be run as it stands.")
        return
    jobs.run_button(app, scenario, world, chosen)


render()
