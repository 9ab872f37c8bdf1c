"""Live health of endpoints: success rates, breakers and cool-downs, published as numbered snapshots."""

from freerelay_core.fleet.fleet import Fleet

__all__ = ["Fleet"]
