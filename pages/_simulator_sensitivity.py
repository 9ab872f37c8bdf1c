"""What would change the winner of a ranking: the exponents, and the figures of each endpoint, one at a time."""

from __future__ import annotations

import streamlit as st

from freerelay_core.scoring import Sensitivity
from pages._format import markdown
from pages._simulator_tables import Column, Table, show_table

__all__ = ["exponents_table", "figures_table", "show_sensitivity"]

ROWS = 10
"""Endpoints that are seen at once."""


def show_sensitivity(sensitivity: Sensitivity, basis_line: str) -> None:
    """Draw it, in words first."""
    st.header("What would change the winner", anchor=False)
    st.markdown("\n".join(f"- {markdown(sentence)}." for sentence in sensitivity.sentences()))
    show_table(exponents_table(sensitivity, basis_line))
    st.caption("One thing is changed at a time, and everything else stays as it is. Empty: no such change does it.")
    show_table(figures_table(sensitivity, basis_line), rows=ROWS)


def exponents_table(sensitivity: Sensitivity, basis_line: str) -> Table:
    """How far each exponent must move before the winner changes."""
    return Table(
        "exponents that change the winner",
        f"How far each exponent must move, alone, before the winner changes. {basis_line}",
        (
            Column("Factor", width=80),
            Column("Exponent", "%.2f", width=80, help="The preference's weight of this factor."),
            Column("Turns at", "%.3f", width=80, help="The exponent beyond which another endpoint wins."),
            Column("Must move by", "%+.3f", width=100),
            Column("Then wins", width=240),
        ),
        [
            (
                turn.factor,
                turn.exponent,
                turn.turns_at,
                None if turn.turns_at is None else turn.turns_at - turn.exponent,
                turn.winner,
            )
            for turn in sensitivity.exponents
        ],
    )


def figures_table(sensitivity: Sensitivity, basis_line: str) -> Table:
    """How far each endpoint's price, time and ability must move."""
    return Table(
        "figures that change the winner",
        "How far one figure of one endpoint must move, alone, before the winner changes: the first loses to the second "
        f"where it gets that much worse, any other wins where it gets that much better. {basis_line}",
        (
            Column("Endpoint", width=230),
            Column("Price times", "%.3f", width=90, help="All its prices multiplied by this."),
            Column("USD per 1,000", "%.4f", width=110, help="What 1,000 such requests then cost."),
            Column("Time times", "%.3f", width=90, help="Time until the answer is complete, multiplied by this."),
            Column("Ability, Elo", "%+.1f", width=90, help="Added to its ability for this task."),
            Column("Then wins", width=230),
        ),
        [
            (
                turn.endpoint,
                turn.price_times,
                None if turn.cost_usd is None else turn.cost_usd * 1000,
                turn.time_times,
                turn.ability_elo,
                turn.winner,
            )
            for turn in (sensitivity.winner, *sensitivity.challengers)
        ],
    )
