"""Live health of endpoints: success rates, breakers and cool-downs, published as numbered snapshots."""

from freerelay_core.fleet.fleet import Fleet
from freerelay_core.fleet.health import BreakerHealth, EndpointHealth

__all__ = ["BreakerHealth", "EndpointHealth", "Fleet"]
