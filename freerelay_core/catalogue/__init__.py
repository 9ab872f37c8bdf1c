"""What can be routed to: providers, endpoints (provider + model + effort), their figures with sources, and prices."""

from freerelay_core.catalogue.endpoint import (
    ABILITIES,
    CAPABILITIES,
    Catalogue,
    Endpoint,
    Figure,
    FixedPrice,
    Limits,
    ListedPrice,
    Origin,
    Provider,
)
from freerelay_core.catalogue.load import load_catalogue
from freerelay_core.catalogue.prices import PriceTable, compile_prices
from freerelay_core.catalogue.waits import Waits
from freerelay_core.catalogue.wire import OPENAI_WIRE, Wire

__all__ = [
    "ABILITIES",
    "CAPABILITIES",
    "OPENAI_WIRE",
    "Catalogue",
    "Endpoint",
    "Figure",
    "FixedPrice",
    "Limits",
    "ListedPrice",
    "Origin",
    "PriceTable",
    "Provider",
    "Waits",
    "Wire",
    "compile_prices",
    "load_catalogue",
]
