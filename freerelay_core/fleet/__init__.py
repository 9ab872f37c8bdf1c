"""Live health of endpoints, published as numbered snapshots; and what tenants and providers have spent."""

from freerelay_core.fleet.budget import Budgets, Hold
from freerelay_core.fleet.fleet import Fleet

__all__ = ["Budgets", "Fleet", "Hold"]
