"""How many requests of whom come in, and who must wait before trying another key."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freerelay_core.clock import SystemClock
from freerelay_core.composition.admission import Admission, FailedKeys, read_limits
from freerelay_core.config import load_settings
from freerelay_core.errors import ConfigurationError, RateExceeded, RateLimited, Unavailable
from freerelay_core.store import Tenant


class MovedClock(SystemClock):
    seconds = 1000.0

    def monotonic(self):
        return self.seconds


FREE = Tenant("t1", "a@x", "free", None, allow_override=False, settings_version=0, updated_at=SystemClock().now())
GOLD = replace(FREE, id="t2", tier="gold")


def admission(clock=None, **limits):
    return Admission(load_settings(**limits), clock or MovedClock())


def test_a_minute_s_requests_may_come_at_once_and_then_one_after_the_other():
    clock = MovedClock()
    door = admission(clock, tenant_rpm="free=3")
    assert [door.count(FREE).remaining for _ in range(3)] == [2, 1, 0]
    with pytest.raises(RateExceeded) as refused:
        door.count(FREE)
    assert refused.value.retry_after_s == pytest.approx(20)
    assert refused.value.rate == (3, 0, pytest.approx(60))
    clock.seconds += refused.value.retry_after_s
    assert door.count(FREE).remaining == 0


def test_other_tenants_and_tiers_without_a_limit_are_not_concerned():
    door = admission(tenant_rpm="free=1")
    door.count(FREE)
    assert door.count(replace(FREE, id="another")).limit == 1
    assert [door.count(GOLD) for _ in range(100)] == [None] * 100


def test_a_tenant_may_have_limits_of_its_own_above_those_of_its_tier():
    own = replace(FREE, id="own", email="ann@Example.com")
    door = admission(tenant_rpm="free=1,Ann@Example.com=3", tenant_concurrency="1,ann@example.com=2")
    assert [door.count(own).limit, door.count(FREE).limit] == [3, 1]
    for _ in range(2):
        door.enter(own)
    with pytest.raises(RateLimited, match="2 requests of this tenant are open, as many as it may have") as refused:
        door.enter(own)
    assert refused.value.code == "too_many_open_requests"
    with pytest.raises(RateExceeded, match="Limit of this tenant: 3 requests a minute"):
        door.count(own)
    with pytest.raises(RateExceeded, match="Limit of tier free: 1 requests a minute"):
        door.count(FREE)


@given(st.integers(1, 600), st.lists(st.floats(0, 90), min_size=1, max_size=80))
def test_no_minute_sees_more_than_twice_the_limit_and_no_pace_below_it_is_refused(rpm, pauses):
    clock = MovedClock()
    door = admission(clock, tenant_rpm=str(rpm))
    let_in, refused = [], []
    for pause in pauses:
        clock.seconds += pause
        try:
            rate = door.count(FREE)
        except RateExceeded as error:
            refused.append((pause, error.retry_after_s))
        else:
            assert 0 <= rate.remaining < rpm
            let_in.append(clock.seconds)
    assert all(pause < 60 / rpm + 1e-6 and 0 < wait_s <= 60 / rpm + 1e-6 for pause, wait_s in refused)
    for at in let_in:
        assert sum(at - 60 < other <= at for other in let_in) <= 2 * rpm


def test_open_requests_are_counted_by_tenant_and_come_back():
    door = admission(tenant_concurrency="free=2")
    door.enter(FREE)
    door.enter(FREE)
    with pytest.raises(RateLimited) as refused:
        door.enter(FREE)
    assert refused.value.code == "too_many_open_requests"
    assert door.open == 2
    door.enter(GOLD)
    door.leave(FREE)
    door.enter(FREE)
    assert door.open == 3


def test_a_request_that_is_refused_for_its_rate_is_not_open():
    door = admission(tenant_rpm="1")
    door.enter(FREE)
    with pytest.raises(RateExceeded):
        door.enter(FREE)
    door.leave(FREE)
    assert door.open == 0


def test_a_full_process_refuses_everybody():
    door = admission(max_open_requests=1)
    door.require_room()
    door.enter(FREE)
    with pytest.raises(Unavailable) as refused:
        door.require_room()
    assert (refused.value.code, refused.value.retry_after_s) == ("overloaded", 1.0)
    door.leave(FREE)
    door.require_room()


def test_tenants_that_are_not_there_any_more_are_forgotten_and_those_that_are_keep_their_counts():
    clock = MovedClock()
    door = admission(clock, tenant_rpm="1", tenant_concurrency="1")
    door.enter(FREE)
    for number in range(25_000):
        door.count(replace(GOLD, id=f"tenant{number}"))
        clock.seconds += 1
    assert len(door._standings) < 21_000
    with pytest.raises(RateLimited):
        door.enter(FREE)


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("", {}),
        ("60", {"free": 60, "bronze": 60, "silver": 60, "gold": 60}),
        (" free=60 , gold = 6000 ", {"free": 60, "gold": 6000}),
        ("60,gold=6000", {"free": 60, "bronze": 60, "silver": 60, "gold": 6000}),
        ("gold=6000, Ann+a=b@x.org = 5", {"gold": 6000, "ann+a=b@x.org": 5}),
    ],
)
def test_limits_are_read_by_tier_and_by_tenant(text, limits):
    assert read_limits(text, "X") == limits


@pytest.mark.parametrize(
    "text", ["platinum=1", "free", "free=", "free=-1", "0", "1.5", "=5", "free=1=2", "a@x", "@=1", "a@x=0"]
)
def test_a_limit_that_cannot_be_meant_is_refused_by_name(text):
    with pytest.raises(ConfigurationError) as refused:
        read_limits(text, "FREERELAY_TENANT_RPM")
    assert refused.value.message.startswith("FREERELAY_TENANT_RPM: ")


# -- failed keys


def test_an_address_that_failed_often_waits_out_the_minute():
    failed = FailedKeys(3)
    for second in range(3):
        assert not failed.wait_s("1.2.3.4", float(second))
        failed.note("1.2.3.4", float(second))
    assert failed.wait_s("1.2.3.4", 10.0) == 50.0
    assert not failed.wait_s("1.2.3.5", 10.0)
    assert not failed.wait_s("1.2.3.4", 60.5)
    failed.note("1.2.3.4", 61.0)
    assert not failed.wait_s("1.2.3.4", 62.0)


@pytest.mark.parametrize(
    ("other", "the_same"),
    [("2001:db8:1:2:ffff::9", True), ("2001:db8:1:3::1", False), ("fe80::1%eth0", False), ("odd:address", False)],
)
def test_an_ipv6_client_is_known_by_its_network(other, the_same):
    failed = FailedKeys(1)
    failed.note("2001:db8:1:2::1", 0.0)
    assert bool(failed.wait_s(other, 1.0)) is the_same


def test_addresses_are_forgotten_before_they_fill_the_memory():
    failed = FailedKeys(1)
    for number in range(20_000):
        failed.note(f"address{number}", 0.0)
    assert len(failed._counts) == 10_000
    assert failed.wait_s("address19999", 1.0)
