"""Live health of endpoints, limits and cool-downs, published as numbered snapshots; and what has been spent."""

from freerelay_core.fleet.budget import Budgets, Hold
from freerelay_core.fleet.fleet import Fleet
from freerelay_core.fleet.health import BreakerHealth, EndpointHealth
from freerelay_core.fleet.ledger import LIMITS, UNCOUNTED, QuotaFigure, RateLedger, Reservation, Statement

__all__ = [
    "LIMITS",
    "UNCOUNTED",
    "BreakerHealth",
    "Budgets",
    "EndpointHealth",
    "Fleet",
    "Hold",
    "QuotaFigure",
    "RateLedger",
    "Reservation",
    "Statement",
]
