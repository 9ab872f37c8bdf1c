"""Overview: the first request, the last day in figures, what needs attention, and demo data."""

from __future__ import annotations

from datetime import timedelta

import pytest
from builders import logged_decision

from freerelay_core.composition.beside import DEMO_EMAIL
from freerelay_core.composition.demo_week import demo_week
from freerelay_core.store.keys import new_key

TRIED_TWICE = ({"endpoint": "a/b", "error": "status 500"}, {"endpoint": "c/d"})


@pytest.fixture
def tenant(running, reader) -> str:
    tenant_id, key = running.new_tenant()
    reader.sign_in(key)
    return tenant_id


@pytest.fixture
def demo_tenant(running, tenant_reader) -> str:
    """The demo tenant, signed in, with its demo week."""
    application = running.application
    found = running.run(application.store.tenant_by_email(DEMO_EMAIL))
    week = demo_week(application.fleet.snapshot(), application.fleet, application.clock, found.id)
    running.run(application.store.append_decisions(list(week)))
    return found.id


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


def test_a_day_without_an_answer_says_so_and_needs_attention_however_few_requests_there_were(running, reader, tenant):
    send(running, tenant, {"status": 429, "cost_usd": None}, {"status": 429, "cost_usd": None})
    shown = texts(reader.open()).replace("\xa0", " ")
    assert r"2 requests in the last 24 hours cost \$0, none of them answered" in shown
    assert "100 % of the requests failed" in shown.replace("\\", "")
    assert "unknown" not in shown


def test_a_failing_endpoint_needs_attention(running, reader, tenant):
    send(running, tenant, {})

    async def fail() -> None:
        for _ in range(20):
            running.application.fleet.record(0, ok=False)

    running.run(fail())
    failing = running.application.catalogue.endpoints[0].id
    assert "is failing and gets no requests" in texts(reader.open())
    assert failing.split("/")[0] in texts(reader.open())


def test_demo_data_is_named_and_goes_with_one_button(running, reader, demo_tenant):
    application = running.application
    send(running, demo_tenant, {})
    page = reader.open()
    assert "Demo data: generated, not yours" in texts(page)
    assert "of them demo data" in page.header[0].value
    assert "700\u00a0decisions will be removed for good" in texts(page)
    page.button(key="demo_remove").click().run()
    assert "emo data" not in texts(page)
    assert metrics(page)["Requests"][0] == "1"
    since = application.clock.now() - timedelta(days=8)
    assert len(running.run(application.store.recent_decisions(demo_tenant, since=since, limit=5))) == 1


def test_the_settings_say_that_they_judge_by_demo_data(reader, demo_tenant):
    page = reader.open("settings")
    assert any("700 demo data, not sent by you" in part.proto.body for part in page.get("html"))


def test_the_key_is_masked_and_it_says_where_the_whole_one_is(running, reader, tenant):
    keys = running.run(running.application.store.list_keys(tenant))
    shown = texts(reader.open())
    assert f"`{keys[0].prefix}…` The whole key was shown once" in shown
    reader.sign_in(running.demo_key)
    shown = texts(reader.open())
    assert f"`{running.demo_key[:12]}…` It was printed where FreeRelay was started" in shown
    assert running.demo_key not in shown


def test_a_key_that_ends_soon_needs_attention(running, reader, tenant):
    send(running, tenant, {})
    application, key = running.application, new_key("live")
    in_a_day = application.clock.now() + timedelta(days=1)
    make = application.store.create_key(
        tenant, name="night job", prefix=key.prefix, key_hash=key.digest, expires_at=in_a_day
    )
    running.run(make)
    assert "The key night job ends soon" in texts(reader.open())


def test_the_operator_sees_every_tenant(running, operator_reader):
    assert "No tenant has sent anything" in texts(operator_reader.open())
    for _ in range(2):
        tenant_id, _ = running.new_tenant()
        send(running, tenant_id, {})
    page = operator_reader.open()
    assert metrics(page)["Requests"][0] == "2"
    assert "2 tenants sent requests" in texts(page).replace("\xa0", " ")
