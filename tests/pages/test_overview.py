"""Overview: the first request, the last day in figures, what needs attention, and demo data."""

from __future__ import annotations

from datetime import timedelta

import pytest
from builders import logged_decision

from freerelay_core.composition.demo_week import demo_week

TRIED_TWICE = ({"endpoint": "a/b", "error": "status 500"}, {"endpoint": "c/d"})


@pytest.fixture
def tenant(running, reader) -> str:
    tenant_id, key = running.new_tenant()
    reader.sign_in(key)
    return tenant_id


def send(running, tenant_id: str, *outcomes: dict) -> None:
    application = running.application
    records = [logged_decision(application.clock, tenant_id, **changes) for changes in outcomes]
    running.run(application.store.append_decisions(records))


def texts(page) -> str:
    assert not page.exception
    parts = [*page.header, *page.markdown, *page.caption, *page.warning]
    return "\n".join(part.value for part in parts)


def metrics(page) -> dict[str, tuple[str, str]]:
    return {metric.label: (metric.value, metric.delta) for metric in page.metric}


def test_without_traffic_it_shows_how_to_send_the_first_request_and_turns_over(running, reader, tenant):
    page = reader.open()
    assert "Send your first request" in texts(page)
    assert len(page.code) == 4
    send(running, tenant, {})
    assert "1 request in the last 24 hours" in texts(page.run()).replace("\xa0", " ")


def test_the_day_is_summed_up(running, reader, tenant):
    send(running, tenant, {}, {"attempts": TRIED_TWICE}, {"status": 502})
    page = reader.open()
    assert metrics(page)["Requests"] == ("3", "3 more")
    assert metrics(page)["Cost"] == ("$0.75", "$0.75 more")
    assert metrics(page)["Fail-overs"] == ("1", "1 more")
    assert "3 measured on live traffic" in texts(page)
    assert "Nothing needs attention" in texts(page)


def test_many_failures_need_attention(running, reader, tenant):
    send(running, tenant, *[{} for _ in range(18)], {"status": 502}, {"status": 503})
    page = reader.open()
    assert "Needs attention" in texts(page)
    assert "[See them](/activity?status=failed)" in texts(page)


def test_a_failing_endpoint_needs_attention(running, reader, tenant):
    send(running, tenant, {})

    async def fail() -> None:
        for _ in range(20):
            running.application.fleet.record(0, ok=False)

    running.run(fail())
    failing = running.application.catalogue.endpoints[0].id
    assert "is failing and gets no requests" in texts(reader.open())
    assert failing.split("/")[0] in texts(reader.open())


def test_demo_data_is_named_and_goes_with_one_button(running, reader, tenant):
    application = running.application
    records = list(demo_week(application.fleet.snapshot(), application.fleet, application.clock, tenant))
    running.run(application.store.append_decisions(records))
    send(running, tenant, {})
    page = reader.open()
    assert "Demo data" in texts(page)
    page.button(key="demo_remove").click().run()
    assert "Demo data" not in texts(page)
    assert metrics(page)["Requests"][0] == "1"
    since = application.clock.now() - timedelta(days=8)
    assert len(running.run(application.store.recent_decisions(tenant, since=since, limit=5))) == 1


def test_the_operator_sees_every_tenant(running, operator_reader):
    assert "No tenant has sent anything" in texts(operator_reader.open())
    for _ in range(2):
        tenant_id, _ = running.new_tenant()
        send(running, tenant_id, {})
    page = operator_reader.open()
    assert metrics(page)["Requests"][0] == "2"
    assert "2 tenants sent requests" in texts(page).replace("\xa0", " ")
