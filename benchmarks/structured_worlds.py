# ruff: noqa: S608  (statements are written, never run)
"""What the texts of `structured_texts.py` tell of: a shop's orders, vehicles, patients."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["PATIENTS", "SHOP", "VEHICLES", "Dice", "World"]


class Dice:
    """Choices that are the same in every version of Python: all are made of `Random.random`."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  (no secret)

    def below(self, number: int) -> int:
        return int(self._random.random() * number)

    def one(self, values: Sequence[Any]) -> Any:
        return values[self.below(len(values))]

    def number(self, most: float, digits: int) -> float:
        return round(self._random.random() * most, digits)

    def octets(self, length: int) -> bytes:
        return bytes(self.below(256) for _ in range(length))

    def uuid(self) -> str:
        return str(uuid.UUID(bytes=self.octets(16), version=4))

    def moment(self, separator: str = "T") -> str:
        """A time in 2026."""
        day = f"2026-{1 + self.below(12):02}-{1 + self.below(28):02}"
        return f"{day}{separator}{self.below(24):02}:{self.below(60):02}:{self.below(60):02}"


@dataclass(frozen=True, slots=True)
class World:
    """What texts of one origin tell of."""

    record: Callable[[Dice], dict[str, Any]]
    """Nested."""
    table: str
    row: Callable[[Dice], dict[str, Any]]
    """Flat."""
    log: Callable[[Dice], str]
    """A line."""
    sql: Callable[[Dice], str]
    """A statement."""
    script: Callable[[Dice], str]
    """A statement of minified JavaScript."""
    markup: Callable[[Dice], str]
    """An element of a page."""
    source: Callable[[Dice], str]
    """A function, as a diff changes it."""


# -- the shop


def _order(dice: Dice) -> dict[str, Any]:
    return {
        "id": f"ord_{10_000 + dice.below(90_000)}",
        "status": dice.one(["paid", "shipped", "cancelled", "pending"]),
        "created_at": f"{dice.moment()}Z",
        "customer": {
            "name": dice.one(["Anna Keller", "João Silva", "Mei Tanaka", "Tom Baker"]),
            "email": f"{dice.one(['anna', 'joao', 'mei', 'tom'])}@example.com",
            "address": {
                "street": f"{1 + dice.below(200)} Mill Lane",
                "city": dice.one(["Porto", "Leeds", "Basel"]),
                "zip": f"{10_000 + dice.below(90_000)}",
            },
        },
        "items": [
            {
                "sku": f"{dice.one(['TEA', 'CUP', 'JAR'])}-{dice.below(1000):03}",
                "title": dice.one(["Green tea, 100 g", "Blue cup with handle", "Glass jar", "Wooden spoon"]),
                "quantity": 1 + dice.below(9),
                "unit_price": dice.number(80, 2),
                "tags": [dice.one(["new", "sale", "organic", "fragile"]) for _ in range(dice.below(3))],
            }
            for _ in range(1 + dice.below(3))
        ],
        "gift": dice.one([True, False]),
        "note": dice.one([None, "Please ring twice.", "Leave the parcel with the neighbour on the left."]),
    }


def _sale(dice: Dice) -> dict[str, Any]:
    return {
        "order_id": 10_000 + dice.below(90_000),
        "date": dice.moment()[:10],
        "product": dice.one(["Green tea", "Blue cup", "Glass jar", "Wooden spoon", "Tea towel"]),
        "quantity": 1 + dice.below(12),
        "price": dice.number(90, 2),
        "country": dice.one(["PT", "GB", "CH", "DE"]),
    }


def _shop_log(dice: Dice) -> str:
    level = dice.one(["INFO", "INFO", "INFO", "WARN", "ERROR"])
    what = dice.one(
        [
            f"GET /api/v1/products/{dice.below(9999)} 200 {dice.below(900)}ms",
            f"payment accepted order=ord_{dice.below(99_999)} amount={dice.number(200, 2)} EUR",
            f"retrying request to http://stock.internal:8080/items (attempt {1 + dice.below(4)} of 5)",
            f"Could not connect to 10.0.{dice.below(256)}.{dice.below(256)}:5432: connection refused",
            "Cache warmed, 412 entries loaded from disk",
        ]
    )
    return f"{dice.moment(' ')},{dice.below(1000):03} {level} [shop.{dice.one(['cart', 'http', 'db'])}] {what}"


def _shop_sql(dice: Dice) -> str:
    sale = _sale(dice)
    return dice.one(
        [
            (
                f"SELECT o.id, o.status, SUM(i.quantity * i.price) AS total\nFROM orders o\nJOIN items i ON i.order_id"
                f" = o.id\nWHERE o.created_at >= '{sale['date']}' AND o.status <> 'void'\nGROUP BY o.id, o.status\n"
                f"HAVING SUM(i.quantity) > {dice.below(20)}\nORDER BY total DESC\nLIMIT {10 * (1 + dice.below(9))};"
            ),
            (
                "CREATE TABLE customers (\n    id BIGSERIAL PRIMARY KEY,\n    email VARCHAR(99) NOT NULL UNIQUE,\n"
                "    created_at TIMESTAMPTZ DEFAULT now(),\n    balance NUMERIC(12, 2) CHECK (balance > 0)\n);"
            ),
            (
                f"INSERT INTO sales (order_id, product, price) VALUES ({sale['order_id']}, '{sale['product']}', "
                f"{sale['price']});"
            ),
            f"UPDATE products SET stock = stock - {sale['quantity']} WHERE sku = 'TEA-{dice.below(1000):03}';",
        ]
    )


def _shop_script(dice: Dice) -> str:
    a, b, c = (dice.one("abcdefnrtuox") for _ in range(3))
    return dice.one(
        [
            f"function {a}({b},{c}){{return {b}&&{b}.items?{b}.items.filter(function(t){{return t.price>{c}}}):[]}}",
            f'var {a}=document.getElementById("cart"),{b}={a}.querySelectorAll(".item");',
            f"for(var {a}=0;{a}<{b}.length;{a}++){{{c}+={b}[{a}].quantity*{b}[{a}].price}}",
            f'!function({a},{b}){{"use strict";{a}.total=function(){{return null==this.sum?0:this.sum.toFixed(2)}}}}',
            f'{a}.addEventListener("click",({b}=>{{{b}.preventDefault(),{c}(!0)}}));',
        ]
    )


def _shop_markup(dice: Dice) -> str:
    sale = _sale(dice)
    return (
        f'<div class="card product" id="p{sale["order_id"]}">\n  <a href="/products/{sale["order_id"]}">\n'
        f'    <img src="/images/{dice.below(999)}.jpg" alt="{sale["product"]}" width="320">\n  </a>\n'
        f'  <h3 class="title">{sale["product"]}</h3>\n  <p>Only <b>{sale["quantity"]}</b> left, '
        f'<span class="price">{sale["price"]} &euro;</span></p>\n</div>'
    )


def _shop_source(dice: Dice) -> str:
    limit = dice.below(90)
    return (
        f'def total(items, discount={limit}):\n    """Sum of all prices."""\n    result = 0\n    for item in items:\n'
        f"        if item.price > {limit}:\n            result += item.price * item.quantity\n"
        f"    return result - discount\n\n\ndef find(orders, name_{limit}):\n    for order in orders:\n"
        f"        if order.customer.name == name_{limit}:\n            return order\n    raise KeyError(name_{limit})\n"
    )


SHOP = World(_order, "sales", _sale, _shop_log, _shop_sql, _shop_script, _shop_markup, _shop_source)


# -- vehicles


def _trip(dice: Dice) -> dict[str, Any]:
    return {
        "vehicleId": f"VH{dice.below(10_000):04}",
        "driver": {"firstName": dice.one(["Ines", "Pavel", "Rashid"]), "licence": dice.uuid()},
        "route": {
            "origin": dice.one(["Rotterdam harbour", "Lyon", "Warehouse 7"]),
            "waypoints": [
                {
                    "location": {"latitude": dice.number(60, 6), "longitude": dice.number(20, 6)},
                    "arrival": {"planned": f"{dice.moment()}+02:00", "actual": None},
                    "stopReasons": [dice.one(["refuel", "rest", "unloading"]) for _ in range(1 + dice.below(2))],
                }
                for _ in range(1 + dice.below(3))
            ],
        },
        "telemetry": {
            "engine": {"rpm": dice.below(4000), "coolant": {"celsius": dice.number(110, 1), "ok": True}},
            "tyrePressures": [dice.number(3, 2) for _ in range(4)],
        },
        "isDelayed": dice.one([True, False]),
        "maximumPayloadKg": 500 * dice.below(40),
    }


def _fix(dice: Dice) -> dict[str, Any]:
    return {
        "vehicle": f"VH{dice.below(10_000):04}",
        "recorded": f"{dice.moment()}Z",
        "latitude": dice.number(60, 5),
        "longitude": dice.number(20, 5),
        "speed_kmh": dice.below(120),
        "driver": dice.one(["Ines Carvalho", "Pavel Novak", "Rashid Haddad"]),
        "state": dice.one(["moving", "idle", "maintenance required"]),
    }


def _vehicle_log(dice: Dice) -> str:
    what = dice.one(
        [
            f'level=debug msg="position stored" vehicle=VH{dice.below(10_000):04} lag_ms={dice.below(5000)}',
            f'level=warn msg="gateway timeout, will back off" backoff={dice.number(30, 1)}s queue={dice.below(300)}',
            f'level=info msg="websocket closed by peer" code=1006 session={dice.uuid()}',
            f'level=error msg="unexpected frame" error="checksum 0x{dice.octets(4).hex()}" offset={dice.below(65536)}',
        ]
    )
    return f"time={dice.moment()}.{dice.below(1_000_000):06}Z host=edge-{dice.below(40):02} {what}"


def _vehicle_sql(dice: Dice) -> str:
    return dice.one(
        [
            (
                f"select v.plate, count(*) filter (where p.speed > {dice.below(130)}) as fast\nfrom positions as p\n"
                "  left join vehicles v using (vehicle_id)\nwhere p.recorded between '2026-04-01' and '2026-05-01'\n"
                "group by 1\norder by fast desc nulls last;"
            ),
            (
                f"ALTER TABLE vehicles ADD COLUMN last_inspection DATE, ADD CONSTRAINT payload_positive CHECK "
                f"(maximum_payload_kg > {dice.below(500)});"
            ),
            f"DELETE FROM positions WHERE vehicle_id = '{dice.uuid()}' AND recorded < now() - interval '90 days';",
            (
                "CREATE INDEX CONCURRENTLY idx_positions_vehicle_time\n    ON positions (vehicle_id, recorded DESC)\n"
                "    WHERE speed_kmh IS NOT NULL;"
            ),
        ]
    )


def _vehicle_script(dice: Dice) -> str:
    a, b, c = (dice.one("eghijklmpsvw") for _ in range(3))
    return dice.one(
        [
            (
                f"const {a}=async {b}=>{{const {c}=await fetch(`/trips/${{{b}.id}}`);if(!{c}.ok)throw {c}.status;"
                f"return {c}.json()}};"
            ),
            f"class {a.upper()} extends {b}.Component{{constructor(){{super(...arguments),this.state={{open:!1}}}}}}",
            f"({a}=Object.assign({{}},{b},{{speed:Math.round(3.6*{c}.velocity)}})),window.map.setCenter([{a}.lat,{a}.lng])",
            f";switch({a}.type){{case 1:case 2:{b}.push({c});break;default:void 0!=={c}&&{b}.splice(0,1)}}",
        ]
    )


def _vehicle_markup(dice: Dice) -> str:
    fix = _fix(dice)
    return (
        f'<tr data-vehicle-id="{fix["vehicle"]}" class="odd:bg-gray-100 hover:bg-white">\n'
        f'    <td class="px-4 py-2 font-mono">{fix["vehicle"]}</td>\n    <td>{fix["driver"]}</td>\n'
        f'    <td style="text-align: right">{fix["speed_kmh"]} km/h</td>\n    <td>\n        <button type="button" '
        f"onclick=\"openTrip('{fix['vehicle']}')\" disabled>Show on map</button>\n    </td>\n</tr>"
    )


def _vehicle_source(dice: Dice) -> str:
    name = dice.one(["Distance", "Heading", "Duration"])
    return (
        f"\tfunc (t *Trip) {name}(from, to Waypoint) (float64, error) {{\n\t\tif from == to {{\n\t\t\treturn 0, "
        f"ErrSameWaypoint\n\t\t}}\n\t\tlat := radians(to.Latitude - from.Latitude)\n\t\tlng := radians(to.Longitude - "
        f"from.Longitude)\n\t\ta := math.Sin(lat/{1 + dice.below(9)})*math.Sin(lat) + math.Cos(lng)\n"
        f"\t\treturn t.radius * math.Atan2(math.Sqrt(a), 1), nil\n\t}}\n\n"
    )


VEHICLES = World(
    _trip, "positions", _fix, _vehicle_log, _vehicle_sql, _vehicle_script, _vehicle_markup, _vehicle_source
)


# -- patients


def _patient(dice: Dice) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:oid:2.16.840.1.113883", "value": str(dice.below(10**8))}],
        "name": [{"use": "official", "family": dice.one(["Okafor", "Lindqvist", "Moreau"]), "given": ["Claire", "M."]}],
        "gender": dice.one(["female", "male", "unknown"]),
        "contact": {"telecom": [{"system": "phone", "value": f"+33 1 {dice.below(100):02} 46 {dice.below(100):02}"}]},
        "observations": {
            f"{dice.one(['blood_pressure', 'heart_rate', 'glucose'])}_{number}": {
                "measured": {"value": dice.number(180, 1), "unit": dice.one(["mmHg", "bpm", "mg/dL"])},
                "range": {"low": {"value": dice.below(80)}, "high": {"value": 80 + dice.below(100)}},
                "comment": dice.one(["Within normal limits after rest.", "Repeat in two weeks", ""]),
            }
            for number in range(1 + dice.below(3))
        },
    }


def _visit(dice: Dice) -> dict[str, Any]:
    return {
        "Name": dice.one(["Okafor, Claire", "Lindqvist, Sven", "Moreau, Luc"]),
        "Ward": dice.one(["Cardiology", "Intensive care", "Day surgery"]),
        "Admitted": dice.moment(" ")[:16],
        "Diagnosis": dice.one(["Hypertension, stage 2", "Fracture of the left wrist", "Observation only"]),
        "Insured": dice.one(["yes", "no"]),
        "Invoice": f"${dice.below(9)},{dice.below(1000):03}.00",
    }


PATIENTS = replace(VEHICLES, record=_patient, table="visits", row=_visit)
"""Differ from the vehicles in records and rows alone."""
