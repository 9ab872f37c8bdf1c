"""Carries a decision out: tries endpoints in order, streams, and says what happened."""

from freerelay_core.router.attempts import Router
from freerelay_core.router.execution import CLIENT_LEFT, Execution, error_event
from freerelay_core.router.quota import have_to_wait
from freerelay_core.router.record import decision_record

__all__ = ["CLIENT_LEFT", "Execution", "Router", "decision_record", "error_event", "have_to_wait"]
