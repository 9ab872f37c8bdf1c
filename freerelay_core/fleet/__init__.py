"""Live health of endpoints: success rates, breakers, limits and cool-downs, published as numbered snapshots."""

from freerelay_core.fleet.fleet import Fleet
from freerelay_core.fleet.ledger import LIMITS, UNCOUNTED, QuotaFigure, RateLedger, Reservation, Statement

__all__ = ["LIMITS", "UNCOUNTED", "Fleet", "QuotaFigure", "RateLedger", "Reservation", "Statement"]
