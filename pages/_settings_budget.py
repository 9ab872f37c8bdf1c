"""The tenant's budget, as the settings page shows it."""

from __future__ import annotations

import streamlit as st

from freerelay_core.composition.spending import Spending
from pages._format import markdown, usd

__all__ = ["draw_budget"]


def draw_budget(spending: Spending) -> None:
    """What was spent this month, what is left, and where it leads; only the operator sets a budget."""
    st.header(f"Budget of {spending.month}", anchor=False)
    spent = f"{usd(spending.spent_usd)} spent"
    if spending.budget_usd is None:
        st.write(markdown(f"No budget is set. {spent} so far."))
    else:
        left = f"{usd(spending.left_usd)} of {usd(spending.budget_usd)} left"
        st.write(f"**{markdown(left)}**, {markdown(spent)}.")
    counts = "simulated and generated cost, as no real endpoint serves" if spending.simulated else "measured cost"
    st.caption(
        markdown(
            f"{spending.words_with(usd)} Basis: {counts}, calendar month (UTC); eight of ten forecasts lie in the "
            "interval. Only the operator sets a budget."
        )
    )
