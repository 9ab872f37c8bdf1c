"""The HTTP interface, as a plain ASGI application: `uvicorn freerelay_core.api:app`."""

from freerelay_core.api.asgi import app, belongs_to_api
from freerelay_core.api.lifespan import lifespan

__all__ = ["app", "belongs_to_api", "lifespan"]
