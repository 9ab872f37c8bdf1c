"""Counting limits: never over them by our own count, whatever comes in whichever order, and the provider's word."""

from __future__ import annotations

import io
from collections import Counter
from datetime import timedelta
from math import inf

import builders
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freerelay_core.catalogue import Limits
from freerelay_core.clock import SystemClock
from freerelay_core.fleet import UNCOUNTED, Fleet, RateLedger, Statement
from freerelay_core.snapshot import AVAILABLE, COOLING_DOWN, QUOTA_GONE, Snapshot

RPM, TPM, RPD, TPD = range(4)
MIDNIGHT = 1_790_000_000 // 86_400 * 86_400.0
"""Some midnight, UTC, as seconds since 1970; the ledgers below begin at noon."""
NOON = MIDNIGHT + 43_200.0


def ledger(**limits):
    made = RateLedger(["g"], [Limits(**limits)], [0])
    made.keep_time(1000.0, NOON)
    return made


def admitted(of, times, now, tokens=0.0):
    return [of.reserve(0, tokens, now) is not None for _ in range(times)]


def figure(of, limit, now):
    return next(each for each in of.figures(now) if each.limit == limit)


# -- our own count


def test_a_group_without_limits_is_not_counted():
    free = ledger()
    assert free.reserve(0, 1e9, 1000.0) is UNCOUNTED
    free.settle(UNCOUNTED, 5.0, 1000.0)
    free.release(UNCOUNTED, 1000.0)
    assert (free.limited(0), free.share_left(0, 1000.0), free.figures(1000.0)) == (False, 1.0, [])


def test_what_was_sent_before_counts_to_the_day_and_not_to_the_minute():
    resumed = ledger(rpm=2, rpd=3, tpd=1000)
    resumed.resume(0, 2, 400, 1000.0)
    assert figure(resumed, "rpm", 1000.0).used == 0
    assert (figure(resumed, "rpd", 1000.0).left, figure(resumed, "tpd", 1000.0).left) == (1, 600)
    assert admitted(resumed, 2, 1000.0, tokens=100.0) == [True, False]
    tomorrow = 1000.0 + 43_200.0
    assert figure(resumed, "rpd", tomorrow).left == 3


def test_a_day_began_at_its_hour_and_only_a_limit_a_day_has_one():
    assert ledger(rpd=3).day_began_s(0, 1000.0) == 43_200.0
    assert ledger(tpd=3, day_starts=8).day_began_s(0, 1000.0) == 4 * 3_600.0
    assert ledger(rpm=3, tpm=3).day_began_s(0, 1000.0) is None


def test_the_fourth_request_of_three_a_minute_waits_until_the_first_is_a_minute_old():
    three = ledger(rpm=3)
    assert three.reserve(0, 0.0, 1000.2)
    assert admitted(three, 3, 1010.2) == [True, True, False]
    wait = three.wait_s(0, 0.0, 1010.2)
    assert 50.0 <= wait <= 51.0
    assert three.reserve(0, 0.0, 1010.2 + wait - 0.1) is None
    assert three.reserve(0, 0.0, 1010.2 + wait)


def test_expected_tokens_are_counted_until_the_real_ones_are_known():
    tokens = ledger(tpm=1000)
    first = tokens.reserve(0, 800.0, 1000.0)
    assert tokens.reserve(0, 201.0, 1000.0) is None
    tokens.settle(first, 300.0, 1001.0)
    assert tokens.reserve(0, 700.0, 1002.0)
    assert figure(tokens, "tpm", 1002.0).used == 1000


def test_more_tokens_than_expected_are_counted_from_when_they_are_known():
    tokens = ledger(tpm=1000)
    first = tokens.reserve(0, 100.0, 1000.0)
    tokens.settle(first, 900.0, 1050.0)
    assert tokens.reserve(0, 101.0, 1050.0) is None
    assert figure(tokens, "tpm", 1070.0).used == 800
    assert figure(tokens, "tpm", 1112.0).used == 0


def test_what_never_reached_the_provider_is_given_back():
    both = ledger(rpm=1, tpm=100)
    reservation = both.reserve(0, 100.0, 1000.0)
    both.release(reservation, 1001.0)
    assert both.reserve(0, 100.0, 1001.0)


def test_a_reservation_settled_after_its_minute_takes_nothing_from_the_next():
    tokens = ledger(tpm=1000, tpd=5000)
    first = tokens.reserve(0, 900.0, 1000.0)
    tokens.reserve(0, 400.0, 1070.0)
    tokens.settle(first, 100.0, 1070.0)
    assert figure(tokens, "tpm", 1070.0).used == 400
    assert figure(tokens, "tpd", 1070.0).used == 500


def test_a_day_ends_at_midnight_utc():
    day = ledger(rpd=2)
    assert admitted(day, 3, 1000.0) == [True, True, False]
    assert day.wait_s(0, 0.0, 1000.0) == pytest.approx(43_200.0)
    assert not day.reserve(0, 0.0, 1000.0 + 43_199.0)
    assert day.reserve(0, 0.0, 1000.0 + 43_200.0)


def test_or_at_the_hour_that_the_vendor_has():
    day = ledger(rpd=1, day_starts=20)
    assert admitted(day, 2, 1000.0) == [True, False]
    assert day.wait_s(0, 0.0, 1000.0) == pytest.approx(8 * 3600.0)
    assert day.reserve(0, 0.0, 1000.0 + 8 * 3600.0)


def test_a_machine_that_slept_wakes_up_on_the_next_day():
    day = ledger(rpd=1)
    day.reserve(0, 0.0, 1000.0)
    day.keep_time(1001.0, NOON + 86_400.0)
    assert day.reserve(0, 0.0, 1001.0)


def test_a_request_that_is_expected_to_need_more_than_a_minute_holds_takes_all_of_it():
    tokens = ledger(tpm=1000, tpd=5000)
    assert tokens.largest(0) == 1000
    assert tokens.reserve(0, 3000.0, 1000.0).tokens == 1000
    assert tokens.reserve(0, 1.0, 1000.0) is None


def test_the_share_left_is_that_of_the_tightest_limit():
    tight = ledger(rpm=10, tpm=1000)
    tight.reserve(0, 900.0, 1000.0)
    assert tight.share_left(0, 1000.0) == pytest.approx(0.1)
    tight.reserve(0, 100.0, 1000.0)
    assert tight.share_left(0, 1000.0) == 0.0


def test_endpoints_of_a_quota_group_share_the_smallest_of_their_limits():
    endpoints = [
        builders.endpoint("a/one", quota_group="a", limits=Limits(rpm=5, tpm=100)),
        builders.endpoint("a/two", quota_group="a", limits=Limits(rpm=3)),
        builders.endpoint("b/one", limits=Limits(rpm=1)),
    ]
    shared = RateLedger.of(endpoints)
    assert shared.names == ("a", "b/one")
    assert shared.group_of == (0, 0, 1)
    shared.reserve(shared.group_of[0], 1.0, 0.0)
    assert {each.limit: (each.most, each.used) for each in shared.figures(0.0) if each.group == "a"} == {
        "rpm": (3, 1),
        "tpm": (100, 1),
    }


def test_limits_of_endpoints_that_are_not_counted_do_not_hold():
    endpoints = [builders.endpoint(name, limits=Limits(rpm=1)) for name in ("a/one", "b/one")]
    some = RateLedger.of(endpoints, counted=[False, True])
    assert (some.limited(0), some.limited(1)) == (False, True)


# -- the provider's word


def test_what_the_provider_says_stands_above_our_count():
    told = ledger(rpm=10)
    reservation = told.reserve(0, 0.0, 1000.0)
    told.hear(0, reservation, [Statement(RPM, 10, 1, 30.0, refills=False)], 1001.0)
    assert admitted(told, 2, 1002.0) == [True, False]
    assert told.wait_s(0, 0.0, 1002.0) == pytest.approx(29.0)
    assert admitted(told, 1, 1031.0) == [True]


def test_more_than_we_thought_is_believed_too():
    told = ledger(rpm=2)
    told.reserve(0, 0.0, 1000.0)
    reservation = told.reserve(0, 0.0, 1000.0)
    told.hear(0, reservation, [Statement(RPM, 60, 58, 2.0, refills=True)], 1000.5)
    assert all(admitted(told, 58, 1000.5))
    assert figure(told, "rpm", 1000.5).most == 60


def test_a_bucket_refills_little_by_little():
    told = ledger(tpm=6000)
    reservation = told.reserve(0, 10.0, 1000.0)
    told.hear(0, reservation, [Statement(TPM, 6000, 0, 60.0, refills=True)], 1000.0)
    assert told.wait_s(0, 1000.0, 1000.0) == pytest.approx(10.0)
    assert told.reserve(0, 1000.0, 1009.0) is None
    assert told.reserve(0, 1000.0, 1010.1)


def test_what_was_sent_since_the_answered_request_is_not_in_what_the_provider_said():
    told = ledger(rpm=10)
    first = told.reserve(0, 0.0, 1000.0)
    admitted(told, 3, 1000.0)
    told.hear(0, first, [Statement(RPM, 10, 4, 60.0, refills=False)], 1001.0)
    assert admitted(told, 2, 1001.0) == [True, False]


def test_an_answer_that_was_overtaken_says_nothing_new():
    told = ledger(rpm=10)
    first, second = told.reserve(0, 0.0, 1000.0), told.reserve(0, 0.0, 1000.0)
    told.hear(0, second, [Statement(RPM, 10, 1, 60.0, refills=False)], 1001.0)
    told.hear(0, first, [Statement(RPM, 10, 9, 60.0, refills=False)], 1002.0)
    assert admitted(told, 2, 1002.0) == [True, False]


def test_a_request_that_never_arrived_is_given_back_to_what_the_provider_said():
    told = ledger(rpm=10)
    first = told.reserve(0, 0.0, 1000.0)
    told.hear(0, first, [Statement(RPM, 10, 1, 60.0, refills=False)], 1001.0)
    second = told.reserve(0, 0.0, 1002.0)
    told.release(second, 1003.0)
    assert admitted(told, 2, 1003.0) == [True, False]


def test_a_group_without_limits_is_limited_from_when_its_provider_says_so():
    told = ledger()
    told.hear(0, UNCOUNTED, [Statement(RPD, 100, 1, None, refills=False)], 1000.0)
    assert admitted(told, 2, 1000.0) == [True, False]
    assert told.wait_s(0, 0.0, 1000.0) == pytest.approx(43_200.0)


def test_the_figures_say_whose_word_they_are():
    told = ledger(rpm=10, rpd=100)
    reservation = told.reserve(0, 0.0, 1000.0)
    told.hear(0, reservation, [Statement(RPM, 10, 4, 30.0, refills=False)], 1001.0)
    minute, day = figure(told, "rpm", 1001.0), figure(told, "rpd", 1001.0)
    assert (minute.most, minute.used, minute.left, minute.window_s, minute.reset_s, minute.stated) == (
        (10, 6, 4, 60.0, 30.0, True)
    )
    assert (day.used, day.left, day.window_s, day.stated) == (1, 99, 86_400.0, False)


# -- whatever comes in whichever order

steps = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "settle", "release"]),
        st.integers(0, 500),
        st.one_of(st.floats(0, 5), st.floats(0, 90), st.sampled_from([0.0, 59.999, 60.0, 61.0, 86_400.0, 1e7])),
    ),
    max_size=80,
)


@given(steps, st.integers(1, 6), st.integers(1, 1200), st.integers(1, 12), st.integers(1, 3000))
def test_no_minute_and_no_day_ever_holds_more_than_its_limit(happened, rpm, tpm, rpd, tpd):
    """Against the list of all that was let through, in every window that ends at a request."""
    of, now, open_, kept = ledger(rpm=rpm, tpm=tpm, rpd=rpd, tpd=tpd), 1000.0, [], []
    for what, size, passed in happened:
        now += passed
        of.keep_time(now, NOON - 1000.0 + now)
        if what == "reserve":
            reservation = of.reserve(0, size, now)
            if reservation is not None:
                entry = [now, reservation.tokens, 1]
                open_.append((reservation, entry))
                kept.append(entry)
                minute = [each for each in kept if now - each[0] <= 60.0]
                day = [each for each in kept if (each[0] - 1000 + 43_200) // 86_400 == (now - 1000 + 43_200) // 86_400]
                assert sum(each[2] for each in minute) <= rpm
                assert sum(each[1] for each in minute) <= tpm
                assert sum(each[2] for each in day) <= rpd
                assert sum(each[1] for each in day) <= tpd
        elif open_:
            reservation, entry = open_.pop(size % len(open_))
            if what == "release":
                of.release(reservation, now)
                entry[1] = entry[2] = 0
            else:
                used = min(size, reservation.tokens)
                of.settle(reservation, used, now)
                entry[1] = used


@given(steps)
def test_what_is_used_is_what_was_let_through_and_nothing_else(happened):
    """Conservation, on slots: a minute holds the entries of its 61 slots, and never less than none."""
    of, now, open_, minute = ledger(rpm=10**6, tpm=10**9, rpd=10**6, tpd=10**9), 1000.0, [], Counter()
    requests: Counter[int] = Counter()
    for what, size, passed in happened:
        now += passed
        if what == "reserve":
            open_.append(of.reserve(0, size, now))
            minute[int(now)] += size
            requests[int(now)] += 1
        elif open_:
            reservation = open_.pop(size % len(open_))
            if what == "release":
                of.release(reservation, now)
                minute[reservation.tick] -= reservation.tokens
                requests[reservation.tick] -= 1
            else:
                of.settle(reservation, size, now)
                more = size - reservation.tokens
                minute[int(now) if more > 0 else reservation.tick] += more
        held = range(int(now) - 60, int(now) + 1)
        assert figure(of, "rpm", now).used == sum(requests[tick] for tick in held)
        assert figure(of, "tpm", now).used == sum(minute[tick] for tick in held)


@given(steps, st.integers(1, 4), st.integers(50, 900))
def test_after_the_wait_that_is_told_the_request_fits(happened, rpm, tpm):
    of, now = ledger(rpm=rpm, tpm=tpm, rpd=9), 1000.0
    for _, size, passed in happened:
        now += passed
        if of.reserve(0, size, now) is None:
            wait = of.wait_s(0, size, now)
            assert 0 < wait < inf
            now += wait + 1e-6
            assert of.reserve(0, size, now) is not None


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.one_of(st.none(), st.integers(0, 10**6)),
            st.one_of(st.none(), st.integers(0, 10**6)),
            st.one_of(st.none(), st.floats(0, 90_000)),
            st.booleans(),
            st.floats(0, 1000),
        ),
        max_size=20,
    )
)
def test_whatever_a_provider_says_shares_are_shares_and_waits_end(said):
    of, now = ledger(rpm=30, tpm=6000), 1000.0
    for limit, most, left, reset_s, refills, passed in said:
        now += passed
        reservation = of.reserve(0, 100.0, now) or UNCOUNTED
        of.hear(0, reservation, [Statement(limit, most, left, reset_s, refills)], now)
        assert 0.0 <= of.share_left(0, now) <= 1.0
        assert 0.0 <= of.wait_s(0, 100.0, now) <= 90_000.0
        for each in of.figures(now):
            assert each.left >= 0
            assert each.used >= 0
            assert each.reset_s >= 0


# -- in the fleet


class MovedClock(SystemClock):
    """Time passes only by `move`."""

    def __init__(self):
        self.seconds = 1000.0

    def now(self):
        return builders.NOON + timedelta(seconds=self.seconds - 1000.0)

    def monotonic(self):
        return self.seconds

    def move(self, seconds):
        self.seconds += seconds


@pytest.fixture
def clock():
    return MovedClock()


def fleet_of(clock, *endpoints):
    base = builders.snapshot(*endpoints)
    return Fleet(base, clock, worker="w", epoch_s=0.1, prices_on=lambda _: base.prices, ledger=RateLedger.of(endpoints))


def test_a_used_up_quota_refuses_at_once_and_the_next_snapshot_says_so(clock):
    fleet = fleet_of(clock, builders.endpoint("a/one", limits=Limits(rpm=2)), builders.endpoint("b/one"))
    first = fleet.snapshot()
    assert fleet.admit(0)
    assert fleet.admit(0)
    assert fleet.snapshot() is first
    assert not fleet.admit(0)
    assert fleet.admit(1)
    after = fleet.snapshot()
    assert after.availability.tolist() == [QUOTA_GONE, AVAILABLE]
    assert after.headroom.tolist() == [0.0, 1.0]
    assert fleet.retry_after_s([0]) == pytest.approx(60.0, abs=1.0)
    clock.move(61.5)
    assert fleet.snapshot().availability.tolist() == [AVAILABLE, AVAILABLE]


def test_headroom_is_the_share_of_the_tightest_limit_of_the_group(clock):
    fleet = fleet_of(
        clock,
        builders.endpoint("a/one@high", limits=Limits(rpm=10, tpm=1000)),
        builders.endpoint("a/one@low", limits=Limits(rpm=10, tpm=1000)),
    )
    fleet.settle(fleet.admit(0, 100.0), 700.0)
    clock.move(0.2)
    assert fleet.snapshot().headroom.tolist() == pytest.approx([0.3, 0.3])


def test_a_request_too_large_for_the_moment_is_refused_and_the_endpoint_stays(clock):
    fleet = fleet_of(clock, builders.endpoint("a/one", limits=Limits(tpm=1000)))
    assert fleet.admit(0, 600.0)
    assert not fleet.admit(0, 600.0)
    clock.move(0.2)
    assert fleet.snapshot().availability.tolist() == [AVAILABLE]
    assert fleet.admit(0, 300.0)


def test_a_request_that_a_breaker_refuses_takes_no_quota(clock):
    fleet = fleet_of(clock, builders.endpoint("a/one", limits=Limits(rpm=5)), builders.endpoint("b/one"))
    for _ in range(5):
        fleet.record(0, ok=False)
    fleet.snapshot()
    assert not fleet.admit(0)
    assert fleet.ledger.figures(clock.monotonic())[0].used == 0


def test_a_429_cools_the_whole_group_down_at_once(clock):
    shared = [builders.endpoint(name, quota_group="a") for name in ("a/one", "a/two")]
    fleet = fleet_of(clock, *shared, builders.endpoint("b/one"))
    fleet.record(0, ok=False, rate_limited=True, retry_after_s=7.0)
    assert not fleet.admit(1)
    assert fleet.snapshot().availability.tolist() == [COOLING_DOWN, COOLING_DOWN, AVAILABLE]


def test_what_the_provider_says_reaches_the_snapshot(clock):
    fleet = fleet_of(clock, builders.endpoint("a/one"))
    fleet.hear(0, fleet.admit(0), [Statement(RPM, 100, 5, 57.0, refills=True), Statement(TPM, 8000, 8000, 0.0, True)])
    clock.move(0.2)
    after = fleet.snapshot()
    assert after.headroom[0] == pytest.approx(0.05, abs=0.01)
    assert after.max_request_tokens.tolist() == [8000.0]


def test_a_snapshot_of_an_earlier_release_knows_of_no_largest_request():
    now = builders.snapshot(builders.endpoint("a/one", limits=Limits(tpm=500, tpd=9000)), builders.endpoint("b/one"))
    assert now.max_request_tokens.tolist() == [500.0, inf]
    with np.load(io.BytesIO(now.dump())) as stored:
        earlier = {name: array for name, array in stored.items() if name != "max_request_tokens"}
    buffer = io.BytesIO()
    np.savez(buffer, **earlier)
    assert Snapshot.load(buffer.getvalue()).max_request_tokens.tolist() == [inf, inf]
