"""`freerelay decision replay`, on the log of a database and on a file."""

from __future__ import annotations

import asyncio
import json

import orjson
import pytest
from builders import logged_decision

from freerelay_core.api.shapes import decision_shape
from freerelay_core.clock import SystemClock
from freerelay_core.store import DecisionRecord, PostgresStore
from tests.cli.shell import freerelay, printed, refused

RANKING = [{"endpoint": "a/b", "log_utility": -4.0}, {"endpoint": "c/d", "log_utility": -8.0}]


def write(database: str, **changes) -> DecisionRecord:
    """A decision on record; `changes` make its log another than what was decided."""

    async def written() -> DecisionRecord:
        store = PostgresStore(database, clock=SystemClock())
        try:
            await store.open()
            tenant = await store.create_tenant("ann@example.com", tier="free", allow_override=False)
            record = logged_decision(SystemClock(), tenant.id)._replace(**changes)
            await store.append_decisions([record])
            return record
        finally:
            await store.close()

    return asyncio.run(written())


def test_a_decision_on_record_is_computed_again_from_its_log(database):
    record = write(database)
    again = json.loads(printed("decision", "replay", record.id, "--json", DATABASE_URL=database))
    assert again == {"decision_id": record.id, "same_order": True, "same_bits": True, "ranking": RANKING}
    shown = printed("decision", "replay", record.id, DATABASE_URL=database)
    assert "the same order of 2 endpoints, the same scores to the last bit" in shown
    assert "-8.0" in shown


@pytest.mark.parametrize(("logs", "said"), [((-1.0, -0.5), "ANOTHER ORDER"), ((-0.5, -1.0 - 2**-52), "OTHER SCORES")])
def test_a_log_that_contradicts_itself_ends_with_status_1(database, logs, said):
    record = write(database, log_factors=dict.fromkeys(logged_decision(SystemClock(), "t").log_factors, logs))
    ended = freerelay("decision", "replay", record.id, DATABASE_URL=database)
    assert ended.status == 1
    assert said in ended.stdout


def test_an_unknown_decision_is_refused_in_one_line(database):
    for identifier in ("01a21381-ebe3-7cea-81da-200f4055f1a6", "x"):
        assert f"no decision '{identifier}'" in refused("decision", "replay", identifier, DATABASE_URL=database)


def test_a_decision_saved_as_json_needs_no_database(tmp_path):
    saved = tmp_path / "decision.json"
    saved.write_bytes(orjson.dumps(decision_shape(logged_decision(SystemClock(), "t")), default=dict))
    again = json.loads(printed("decision", "replay", "--file", str(saved), "--json"))
    assert (again["same_order"], again["same_bits"], again["ranking"]) == (True, True, RANKING)
    saved.write_text("[]")
    assert "must hold a JSON object, a decision" in refused("decision", "replay", "--file", str(saved))
    saved.write_text('{"ranking": []}')
    assert "lacks" in refused("decision", "replay", "--file", str(saved))
    saved.write_text('{"ranking": 1}')
    said = refused("decision", "replay", "--file", str(saved))
    assert "is not a decision: 'ranking' must be a list with an object for each endpoint. Give what " in said


def test_one_of_id_and_file_must_be_named():
    for arguments in ([], ["x", "--file", "y"]):
        ended = freerelay("decision", "replay", *arguments)
        assert ended.status == 2
        assert "--file" in ended.stderr
