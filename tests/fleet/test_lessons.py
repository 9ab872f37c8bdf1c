"""What outcomes teach, and how it is kept and shared."""

from __future__ import annotations

import io
from dataclasses import replace

import builders
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freerelay_core.decision import decide
from freerelay_core.fleet.lessons import KINDS, Lessons
from freerelay_core.profile import Depth, OutputContract, RequestProfile, TaskFamily
from freerelay_core.scoring import catalogue_quality
from freerelay_core.snapshot import KINDS as FIGURE_KINDS
from freerelay_core.snapshot import Snapshot

CHAT = list(TaskFamily).index(TaskFamily.CHAT)
TWO = (builders.endpoint("a/x"), builders.endpoint("b/y"))


def quality(snapshot, endpoint, **request):
    decision = decide(snapshot, builders.request(**request), decision_id="d")
    return next(row.quality for row in decision.ranking if row.endpoint == endpoint)


def taught(snapshot, lessons):
    return replace(snapshot, learned=lessons.learned())


def test_nothing_taught_changes_no_bit():
    snapshot = builders.snapshot(*TWO)
    before = decide(snapshot, builders.request(), decision_id="d")
    after = decide(taught(snapshot, Lessons(snapshot)), builders.request(), decision_id="d")
    assert before.log_utilities.tobytes() == after.log_utilities.tobytes()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_grades_at_one_depth_give_the_beta_posterior(scores):
    snapshot, kind = builders.snapshot(*TWO), KINDS["quality"]
    lessons = Lessons(snapshot)
    prior = catalogue_quality(snapshot, 0, RequestProfile(depth=Depth.HARD))
    for score in scores:
        lessons.record("quality", "chat", 0, score, expected=prior)
    ages = kind.decay ** np.arange(len(scores))[::-1]
    posterior = (kind.prior_weight * prior + ages @ scores) / (kind.prior_weight + ages.sum())
    assert quality(taught(snapshot, lessons), "a/x", depth=Depth.HARD) == pytest.approx(posterior, rel=1e-9)
    assert quality(taught(snapshot, lessons), "b/y", depth=Depth.HARD) == quality(snapshot, "b/y", depth=Depth.HARD)


def test_a_grade_weighs_by_how_hard_the_question_was():
    snapshot = builders.snapshot(*TWO)
    passed_easy, passed_hard = Lessons(snapshot), Lessons(snapshot)
    for lessons, depth in ((passed_easy, Depth.TRIVIAL), (passed_hard, Depth.EXPERT)):
        for _ in range(20):
            expected = catalogue_quality(snapshot, 0, RequestProfile(depth=depth))
            lessons.record("quality", "chat", 0, 1.0, expected=expected)
    easy, hard = (quality(taught(snapshot, lessons), "a/x", depth=Depth.HARD) for lessons in (passed_easy, passed_hard))
    assert quality(snapshot, "a/x", depth=Depth.HARD) < easy < hard


def test_quality_is_learned_by_family():
    snapshot = builders.snapshot(*TWO)
    lessons = Lessons(snapshot)
    for _ in range(50):
        lessons.record("quality", "code", 0, 0.0, expected=0.9)
    after = taught(snapshot, lessons)
    assert quality(after, "a/x", family=TaskFamily.CODE) < 0.5 * quality(snapshot, "a/x", family=TaskFamily.CODE)
    assert quality(after, "a/x", family=TaskFamily.CHAT) == quality(snapshot, "a/x", family=TaskFamily.CHAT)


def test_an_answer_that_turns_out_longer_costs_more_there_and_alone():
    snapshot = builders.snapshot(*TWO)
    lessons = Lessons(snapshot)
    for _ in range(400):
        lessons.record("output_ratio", "chat", 0, 2.0)
    before, after = (decide(s, builders.request(), decision_id="d") for s in (snapshot, taught(snapshot, lessons)))
    cost = {row.endpoint: row.cost_usd for row in before.ranking}
    later = {row.endpoint: row for row in after.ranking}
    assert later["a/x"].cost_usd > 1.3 * cost["a/x"]
    assert later["b/y"].cost_usd == cost["b/y"]
    assert after.endpoints == ("b/y", "a/x")


def test_a_length_that_all_endpoints_show_moves_nobody_against_the_others():
    snapshot = builders.snapshot(*TWO)
    lessons = Lessons(snapshot)
    for _ in range(400):
        lessons.record_for_all("output_ratio", "chat", 3.0)
    before, after = (decide(s, builders.request(), decision_id="d") for s in (snapshot, taught(snapshot, lessons)))
    for old, new in zip(before.ranking, after.ranking, strict=True):
        assert new.endpoint == old.endpoint
        assert new.cost_usd > 1.3 * old.cost_usd
        assert new.factors["cost"][0] == pytest.approx(old.factors["cost"][0], rel=0.05)


def test_a_broken_contract_lowers_the_schema_factor_of_that_contract():
    snapshot = builders.snapshot(*TWO)
    lessons = Lessons(snapshot)
    for _ in range(20):
        lessons.record("schema", "json", 0, 0.0)
    after = taught(snapshot, lessons)

    def factor(contract):
        decision = decide(after, builders.request(contract=contract), decision_id="d")
        return {row.endpoint: row.factors["schema"][0] for row in decision.ranking}

    assert factor(OutputContract.JSON)["a/x"] < 0.6 * factor(OutputContract.JSON)["b/y"]
    assert factor(OutputContract.SCHEMA)["a/x"] == factor(OutputContract.SCHEMA)["b/y"]


def test_answers_broken_in_one_family_lower_its_quality_and_those_broken_in_all_alike_no_quality():
    snapshot = builders.snapshot(*TWO)
    apart, alike = Lessons(snapshot), Lessons(snapshot)
    for lessons, kept in ((apart, {"code": 0.0, "chat": 1.0}), (alike, {"code": 0.5, "chat": 0.5})):
        for turn in range(120):
            family = ("code", "chat")[turn % 2]
            value = kept[family] if kept[family] != 0.5 else float(turn % 4 < 2)
            lessons.record_by_family("schema", "json", family, 0, value, part=0.7)
    usual = {family: quality(snapshot, "a/x", family=family) for family in (TaskFamily.CODE, TaskFamily.CHAT)}
    told_apart, told_alike = taught(snapshot, apart), taught(snapshot, alike)
    assert quality(told_apart, "a/x", family=TaskFamily.CODE) < 0.8 * usual[TaskFamily.CODE]
    assert quality(told_apart, "a/x", family=TaskFamily.CHAT) > usual[TaskFamily.CHAT]
    assert quality(told_apart, "b/y", family=TaskFamily.CODE) == quality(snapshot, "b/y", family=TaskFamily.CODE)
    for family, before in usual.items():
        assert quality(told_alike, "a/x", family=family) == pytest.approx(before, rel=0.04)
    assert not told_apart.learned.graded.any()


def test_a_tenant_s_cached_share_makes_its_long_prompts_cheaper_and_leaves_short_ones():
    snapshot = builders.snapshot(*TWO)
    lessons = Lessons(snapshot)
    for _ in range(30):
        lessons.record("cached_share", "tenant", 0, 0.9)
    lessons.learned()  # as the next snapshot asks for it
    assert lessons.cached_share("another") is None
    known = lessons.cached_share("tenant")
    assert known.expected(builders.request(input_tokens=500)) is None
    long = builders.request(input_tokens=50_000)
    plain = decide(snapshot, long, decision_id="d")
    informed = decide(snapshot, long, decision_id="d", cached_share=known.expected(long))
    cost = {row.endpoint: row.cost_usd for row in plain.ranking}
    later = {row.endpoint: row.cost_usd for row in informed.ranking}
    assert later["a/x"] < 0.8 * cost["a/x"]
    assert later["b/y"] == pytest.approx(cost["b/y"])


outcomes = st.lists(st.tuples(st.sampled_from(sorted(KINDS)), st.integers(0, 1), st.floats(0, 3)), max_size=30)


def tell(lessons, told):
    for kind, endpoint, value in told:
        scopes, seen = KINDS[kind].scopes, min(value, 1.0) if kind == "quality" else value
        lessons.record(kind, scopes[-1] if scopes else "tenant", endpoint, seen, expected=0.5)


@given(outcomes, outcomes)
def test_what_is_saved_and_adopted_by_another_worker_is_what_one_worker_would_know(first, second):
    snapshot = builders.snapshot(*TWO)
    alone, early, late = (Lessons(snapshot) for _ in range(3))
    tell(alone, [*first, *second])
    tell(early, first)
    tell(late, second)  # learned before it hears of the other
    late.adopt(early.take_unsaved())
    for name in ("quality_shift", "output_ratio", "thinking_tokens", "schema_kept", "graded", "success_shift"):
        assert getattr(late.learned(), name) == pytest.approx(getattr(alone.learned(), name), rel=1e-9, abs=1e-12)
    assert late.success(snapshot.success) == pytest.approx(alone.success(snapshot.success))


def test_assumed_thinking_counts_as_measured_once_more_was_seen_than_the_assumption_weighs():
    snapshot = builders.snapshot(builders.endpoint("a/m", thinking_tokens=builders.figure(1000, "prior")))
    lessons = Lessons(snapshot)
    for seen in range(1, 23):
        lessons.record("thinking_tokens", "chat", 0, 800.0)
        named = FIGURE_KINDS[lessons.learned().thinking_kinds[CHAT, 0]]
        assert named == ("measured" if seen > 20 else "prior"), seen
    assert FIGURE_KINDS[lessons.learned().thinking_kinds[CHAT + 1, 0]] == "prior"


@given(outcomes, outcomes)
def test_what_could_not_be_saved_is_saved_with_the_next(first, second):
    snapshot = builders.snapshot(*TWO)
    once, twice = Lessons(snapshot), Lessons(snapshot)
    tell(once, [*first, *second])
    tell(twice, first)
    refused = twice.take_unsaved()
    tell(twice, second)
    twice.restore(refused)
    assert {(x.kind, x.endpoint): x for x in twice.take_unsaved()} == {
        (x.kind, x.endpoint): replace(
            x, weight=pytest.approx(x.weight), total=pytest.approx(x.total), expected=pytest.approx(x.expected)
        )
        for x in once.take_unsaved()
    }


def test_a_worker_s_own_lessons_that_come_back_teach_it_nothing():
    lessons = Lessons(builders.snapshot(*TWO))
    tell(lessons, [("quality", 0, 1.0), ("success", 1, 0.0)])
    saved = lessons.take_unsaved()
    assert lessons.adopt(saved) is False
    assert Lessons(builders.snapshot(*TWO)).adopt(saved) is True


def test_a_real_endpoint_learns_nothing_from_a_simulated_one_of_its_name():
    simulated = Lessons(builders.snapshot(*TWO))
    tell(simulated, [("quality", 0, 0.0)] * 20)
    real = Lessons(builders.snapshot(*TWO, real=frozenset({"a"})))
    saved = simulated.take_unsaved()
    assert all(lesson.simulated for lesson in saved)
    real.adopt(saved)
    assert not real.learned().quality_shift.any()


def test_lessons_of_endpoints_families_and_kinds_that_are_gone_are_left_alone():
    lessons = Lessons(builders.snapshot(*TWO))
    tell(lessons, [("quality", 0, 0.0)])
    (known,) = lessons.take_unsaved()
    fresh = Lessons(builders.snapshot(*TWO))
    fresh.adopt([replace(known, endpoint="gone/z"), replace(known, scope="astrology"), replace(known, kind="charm")])
    assert not fresh.learned().quality_shift.any()


def test_a_tokenizer_that_counts_more_makes_the_prompt_dearer_there_cached_part_and_all():
    snapshot = builders.snapshot(*TWO)
    lessons = Lessons(snapshot)
    for _ in range(400):
        lessons.record("input_ratio", "chat", 0, 2.0)
    asked = builders.request(input_tokens=10_000, cached_tokens=10_000, output_tokens=0)
    fresh = asked._replace(cached_tokens=0)
    for request in (asked, fresh):
        before, after = (
            {row.endpoint: row.cost_usd for row in decide(s, request, decision_id="d").ranking}
            for s in (snapshot, taught(snapshot, lessons))
        )
        assert 1.8 * before["a/x"] < after["a/x"] < 2 * before["a/x"]
        assert after["b/y"] == before["b/y"]


def test_kept_contracts_raise_the_schema_factor_to_what_was_seen():
    snapshot = builders.snapshot(builders.endpoint("a/x", capabilities=frozenset({"json_mode"})))
    lessons = Lessons(snapshot)
    for _ in range(2000):
        lessons.record("schema", "json", 0, 1.0)
    request = builders.request(contract=OutputContract.JSON)
    before, after = (decide(s, request, decision_id="d").row(0) for s in (snapshot, taught(snapshot, lessons)))
    assert before.factors["schema"][0] == pytest.approx(0.85)
    assert 0.98 < after.factors["schema"][0] < 1


class Told:
    """A worker's lessons of success, and the clock on which they fade."""

    def __init__(self, store):
        self.seconds, self._store = 1000.0, store
        self.lessons = Lessons(builders.snapshot(*TWO), lambda: self.seconds)

    def tell(self, *outcomes):
        for ok in outcomes:
            self.lessons.record("success", "", 0, ok)
            self.lessons.record("success_by_family", "code", 0, ok, expected=0.8)

    def share(self):
        """Save and take over, as the store does it: by the number of outcomes, without regard to time."""
        for new in self.lessons.take_unsaved():
            key = (new.kind, new.scope, new.endpoint)
            old = self._store.get(key, replace(new, outcomes=0, weight=0.0, total=0.0, expected=0.0))
            left = new.decay**new.outcomes
            self._store[key] = replace(
                new,
                outcomes=old.outcomes + new.outcomes,
                weight=old.weight * left + new.weight,
                total=old.total * left + new.total,
                expected=old.expected * left + new.expected,
            )
        return self.lessons.adopt(self._store.values())

    @property
    def success(self):
        return self.lessons.success(np.array([0.9, 0.9]))[0]

    @property
    def apart(self):
        return self.lessons.learned().success_shift[list(TaskFamily).index(TaskFamily.CODE), 0]


def by_family(lessons, snapshot):
    """Expected success of a/x in each family, as a ranking has it."""
    seen = replace(snapshot, success=lessons.success(snapshot.success), learned=lessons.learned())
    return {
        family: next(
            row.factors["success"][0]
            for row in decide(seen, builders.request(family=family), decision_id="d").ranking
            if row.endpoint == "a/x"
        )
        for family in TaskFamily
    }


def answered(lessons, family, *outcomes):
    for ok in outcomes:
        lessons.record_by_family("success", "", family.value, 0, ok)


def test_a_family_that_fails_where_others_are_answered_is_set_apart_and_they_are_not_blamed():
    snapshot = builders.snapshot(*TWO)
    lessons = Lessons(snapshot)
    for turn in range(200):
        answered(lessons, TaskFamily.CODE, float(turn % 2))
        answered(lessons, TaskFamily.CHAT, 1.0, 1.0)
    overall, success = lessons.success(snapshot.success)[0], by_family(lessons, snapshot)
    assert overall == pytest.approx(5 / 6, abs=0.02)
    assert success[TaskFamily.CODE] == pytest.approx(0.5, abs=0.1)
    assert success[TaskFamily.CHAT] > 0.95
    assert success[TaskFamily.LEGAL] == pytest.approx(overall)


def test_an_outage_shows_in_every_family_at_once_and_afterwards_none_is_set_apart():
    snapshot, families = builders.snapshot(*TWO), list(TaskFamily)
    lessons = Lessons(snapshot)

    def seen(ok, rounds):
        for _ in range(rounds):
            for family in families[:-1]:
                answered(lessons, family, ok)

    seen(1.0, 20)
    well = by_family(lessons, snapshot)
    seen(0.0, 4)
    out = by_family(lessons, snapshot)
    assert all(out[family] < well[family] - 0.1 for family in families), "the one that was not asked for, too"
    seen(1.0, 20)
    again, overall = by_family(lessons, snapshot), lessons.success(snapshot.success)[0]
    assert [again[family] for family in families] == pytest.approx([overall] * len(families), abs=0.02)


@pytest.mark.parametrize(
    "seen", [[0.0], [0.0] * 5, [0.0] * 30, [1.0] * 100 + [0.0] * 5, [1.0, 0.0, 1.0] * 100], ids=len
)
def test_an_endpoint_asked_for_one_family_alone_is_judged_once(seen):
    snapshot = builders.snapshot(*TWO)
    lessons = Lessons(snapshot)
    answered(lessons, TaskFamily.CODE, *seen)
    overall = lessons.success(snapshot.success)[0]
    assert by_family(lessons, snapshot)[TaskFamily.CODE] == pytest.approx(overall, abs=0.02)


@pytest.mark.parametrize("broken", [1, 5, 40])
def test_answers_broken_in_the_only_family_asked_for_lower_the_schema_factor_and_no_quality(broken):
    snapshot = builders.snapshot(*TWO)
    lessons = Lessons(snapshot)
    for _ in range(broken):
        lessons.record_by_family("schema", "json", "code", 0, 0.0, part=0.7)
    asked = {"family": TaskFamily.CODE, "contract": OutputContract.JSON}
    before, after = (
        decide(s, builders.request(**asked), decision_id="d") for s in (snapshot, taught(snapshot, lessons))
    )
    (old,), (new,) = ([row for row in d.ranking if row.endpoint == "a/x"] for d in (before, after))
    assert new.factors["schema"][0] < old.factors["schema"][0]
    assert new.quality == pytest.approx(old.quality, abs=0.005)


def test_failures_of_an_hour_ago_set_no_family_apart_once_another_one_is_answered():
    seconds, snapshot = [0.0], builders.snapshot(*TWO)
    lessons = Lessons(snapshot, lambda: seconds[0])
    answered(lessons, TaskFamily.CODE, *[0.0] * 10)
    seconds[0] += 3600
    answered(lessons, TaskFamily.CHAT, *[1.0] * 20)
    overall, success = lessons.success(snapshot.success)[0], by_family(lessons, snapshot)
    assert [success[family] for family in TaskFamily] == pytest.approx([overall] * len(success), abs=0.02)


def test_what_sets_a_family_apart_fades_by_half_in_ten_minutes():
    seconds, snapshot = [0.0], builders.snapshot(*TWO)
    lessons = Lessons(snapshot, lambda: seconds[0])
    for _ in range(30):
        answered(lessons, TaskFamily.CODE, 0.0)
        answered(lessons, TaskFamily.CHAT, 1.0)
    code = list(TaskFamily).index(TaskFamily.CODE)
    shifts = []
    for _ in range(4):
        shifts.append(lessons.learned().success_shift[code, 0])
        seconds[0] += 2400
    assert shifts[0] < -1
    assert shifts[0] < shifts[1] / 2 < shifts[2] / 4 < 0
    assert shifts[3] == pytest.approx(0, abs=0.01)


def test_a_snapshot_of_an_earlier_release_sets_no_family_apart():
    now = builders.snapshot(*TWO)
    with np.load(io.BytesIO(now.dump())) as stored:
        earlier = {name: array for name, array in stored.items() if name != "learned.success_shift"}
    buffer = io.BytesIO()
    np.savez(buffer, **earlier)
    assert Snapshot.load(buffer.getvalue()).learned.success_shift.tolist() == now.learned.success_shift.tolist()


def test_whatever_happens_every_share_stays_within_its_range():
    snapshot = builders.snapshot(*TWO)
    lessons = Lessons(snapshot)
    for ok in (1.0, 0.0):
        answered(lessons, TaskFamily.CODE, *[ok] * 20_000)
        assert np.isfinite(lessons.learned().success_shift).all()
        assert all(0 < share <= 1 for share in by_family(lessons, snapshot).values())


def test_success_fades_by_half_in_ten_minutes_towards_the_prior():
    worker, kind = Told({}), KINDS["success"]
    worker.tell(*[0.0] * 5)
    weight = sum(kind.decay**age for age in range(5))
    worker.seconds += 600
    assert worker.success == pytest.approx(20 * 0.9 / (20 + weight / 2))
    assert worker.lessons.fades()
    worker.seconds += 24 * 3600
    assert worker.success == pytest.approx(0.9)
    assert not worker.lessons.fades()


@given(st.lists(st.tuples(st.floats(0, 900), st.booleans(), st.sampled_from([0.0, 1.0])), min_size=1, max_size=40))
def test_workers_that_share_what_they_saw_expect_the_same_success_as_one_that_saw_it_all(happened):
    store, alone = {}, Told({})
    workers = Told(store), Told(store)
    for seconds, which, ok in happened:
        for worker in (*workers, alone):
            worker.seconds += seconds
        for worker in (workers[which], alone):
            worker.tell(ok)
        for worker in (*workers, *workers):
            worker.share()
    for worker in workers:
        assert worker.success == pytest.approx(alone.success, abs=0.01)
        assert worker.apart == pytest.approx(alone.apart, abs=0.06)


def test_old_failures_do_not_come_back_from_the_store_with_the_first_new_success():
    worker = Told({})
    worker.tell(*[0.0] * 50)
    worker.share()
    worker.seconds += 3600
    before = worker.success
    worker.tell(1.0)
    worker.share()
    assert worker.success > before
    assert worker.share() is False


def test_a_store_that_began_anew_is_believed():
    store = {}
    worker = Told(store)
    worker.tell(*[0.0] * 50)
    worker.share()
    store.clear()
    other = Told(store)
    other.tell(1.0)
    other.share()
    assert worker.share() is True
    assert worker.success == pytest.approx(other.success)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([("success", ""), ("quality", "chat"), ("input_ratio", "code"), ("cached_share", "t")]),
            st.sampled_from([None, "chat", "code"]),
            st.integers(0, 1),
            st.floats(0.02, 0.98),
            st.floats(0, 100),
            st.booleans(),
        ),
        max_size=80,
    )
)
def test_outcomes_taken_in_by_the_many_teach_what_each_by_itself_does(outcomes):
    snapshot, now = builders.snapshot(*TWO), [0.0]
    together, singly = (Lessons(snapshot, lambda: now[0]) for _ in range(2))
    for (kind, scope), family, endpoint, value, later, asked in outcomes:
        now[0] += later
        for lessons in (together, singly):
            if kind == "success" and family is not None:
                lessons.record_by_family(kind, scope, family, endpoint, value)
            else:
                lessons.record(kind, scope, endpoint, value, expected=value / 2)
        singly.learned()
        if asked:
            assert together.success(snapshot.success).tobytes() == singly.success(snapshot.success).tobytes()
    assert repr(together.learned()) == repr(singly.learned())
    assert repr(together.cached_share("t")) == repr(singly.cached_share("t"))
    assert sorted(map(repr, together.take_unsaved())) == sorted(map(repr, singly.take_unsaved()))


@pytest.mark.parametrize(("kind", "scope"), [("no such", ""), ("quality", "no such family")])
def test_what_cannot_be_learned_is_refused_where_it_is_said(kind, scope):
    with pytest.raises((KeyError, ValueError)):
        Lessons(builders.snapshot(*TWO)).record(kind, scope, 0, 1.0)


def test_what_success_rests_on_counts_half_after_its_half_life():
    snapshot, now = builders.snapshot(*TWO), [0.0]
    lessons = Lessons(snapshot, lambda: now[0])
    lessons.record("success", "", 0, 1.0)
    assert lessons.outcomes().tolist() == [1.0, 0.0]
    now[0] = KINDS["success"].half_life_s
    assert lessons.outcomes().tolist() == [0.5, 0.0]
