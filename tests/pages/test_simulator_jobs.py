"""A job reports, can be cancelled, fails in words, and is seen by its owner alone."""

import threading

import pytest
from builders import NOON, endpoint, snapshot

from freerelay_core.errors import Conflict, NotFound, Unavailable, UnprocessableRequest
from freerelay_core.policy import NO_POLICY
from freerelay_core.preference import RoutingPreference
from freerelay_core.profile import Depth, RequestProfile
from freerelay_core.simulation import read_trace, simulate
from pages._jobs import KEPT_PER_OWNER, RUNNING_AT_ONCE, Job, JobCancelled, Jobs, JobState
from pages._simulator_trace import rank_trace
from pages._trace_job import Setting

LIMIT_S = 30
FLEET = snapshot(endpoint("a/quick", usd=(2.0, 0.2, 8.0)), endpoint("b/cheap", usd=(0.1, 0.01, 0.4), first_token_s=5.0))
SETTING = Setting(FLEET, NO_POLICY, None, None, NOON)
LIKE = RequestProfile(depth=Depth.STANDARD)


class Held:
    """Work that stands still after its first step until it is let go."""

    def __init__(self) -> None:
        self.began, self.go_on = threading.Event(), threading.Event()

    def __call__(self, job: Job[str]) -> str:
        job.report(1, 2)
        self.began.set()
        assert self.go_on.wait(LIMIT_S)
        if job.cancelled():
            raise JobCancelled
        return "result"


@pytest.fixture
def held():
    work = Held()
    yield work
    work.go_on.set()


def ended(job: Job) -> Job:
    assert job.wait(LIMIT_S)
    return job


def test_a_job_reports_its_progress_and_then_its_result(held):
    job = Jobs().start("tenant", "a file", held)
    assert held.began.wait(LIMIT_S)
    assert (job.state, job.progress, job.result) == (JobState.RUNNING, (1, 2), None)
    held.go_on.set()
    assert (ended(job).state, job.result) == (JobState.DONE, "result")


def test_a_cancelled_job_is_over_at_once_and_stays_so_whatever_its_work_does(held):
    jobs = Jobs()
    job = jobs.start("tenant", "a file", held)
    assert held.began.wait(LIMIT_S)
    job.cancel()
    assert job.state is JobState.CANCELLED
    job.finish("too late")
    assert (job.state, job.result) == (JobState.CANCELLED, None)


def test_what_is_done_cannot_be_cancelled_any_more():
    job = ended(Jobs().start("tenant", "a file", lambda _: "result"))
    job.cancel()
    assert (job.state, job.result) == (JobState.DONE, "result")


def test_another_owner_s_job_is_answered_like_an_unknown_one():
    jobs = Jobs()
    job = ended(jobs.start("tenant", "a file", lambda _: "result"))
    assert jobs.get("tenant", job.id) is job
    said = set()
    for owner, job_id in (("other", job.id), ("other", "unknown"), ("tenant", "unknown")):
        with pytest.raises(NotFound) as caught:
            jobs.get(owner, job_id)
        said.add(caught.value.message)
    assert len(said) == 1


def test_an_owner_runs_one_job_at_a_time_and_may_start_the_next_after_cancelling(held):
    jobs = Jobs()
    first = jobs.start("tenant", "a file", held)
    assert jobs.running("tenant") is first
    assert jobs.running("other") is None
    with pytest.raises(Conflict, match="cancel it first"):
        jobs.start("tenant", "another", held)
    first.cancel()
    assert ended(jobs.start("tenant", "another", lambda _: "next")).result == "next"


def test_only_so_many_jobs_run_in_one_process(held):
    for number in range(RUNNING_AT_ONCE):
        Jobs().start(f"tenant {number}", "a file", held)  # each page has jobs of its own
    with pytest.raises(Unavailable, match="Try again"):
        Jobs().start("one more", "a file", held)


def test_an_owner_s_older_results_are_forgotten():
    jobs = Jobs()
    started = [ended(jobs.start("tenant", "a file", lambda _: "result")) for _ in range(KEPT_PER_OWNER + 2)]
    with pytest.raises(NotFound):
        jobs.get("tenant", started[0].id)
    assert jobs.get("tenant", started[-1].id) is started[-1]


def test_a_fault_of_ours_is_logged_and_not_shown(caplog):
    def broken(_: Job[str]) -> str:
        raise ZeroDivisionError("the secret of another tenant")

    job = ended(Jobs().start("tenant", "a file", broken))
    assert job.state is JobState.FAILED
    assert job.id in job.error.message
    assert "secret" not in job.error.message
    assert "the secret of another tenant" in caplog.text


def csv_of(rows: int) -> bytes:
    lines = [f"2026-11-23 {i % 24:02d}:00:00,{100 + i % 3000},{10 + i % 500}" for i in range(rows)]
    return "\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines]).encode()


def test_a_ranked_trace_has_the_figures_of_the_core():
    jobs, content = Jobs(), csv_of(3000)
    job = ended(jobs.start("tenant", "t.csv", lambda job: rank_trace(job, content, "t.csv", LIKE, SETTING)))
    answer, expected = job.result, simulate(read_trace(content, origin="t.csv", like=LIKE), FLEET)
    assert job.progress == (3000, 3000)
    assert (answer.requests, answer.sha256, answer.seed) == (3000, expected.trace.sha256, expected.seed)
    assert answer.input_tokens == expected.as_dict()["input_tokens"]
    for preference, result in expected.results.items():
        assert answer.figures[preference].share == result.share
        assert answer.figures[preference].latency_p95_s == result.latency_p95_s
        assert answer.total_usd(preference) == pytest.approx(result.cost_usd)
    cheap, good = RoutingPreference.COST_OPTIMIZED, RoutingPreference.PERFORMANCE_FIRST
    assert answer.changed[cheap, good] == expected.changed(cheap, good) > 0


def test_a_trace_stops_at_its_next_block_once_cancelled():
    class CancelledAtFirstBlock(Job):
        def report(self, done, total):
            super().report(done, total)
            if done:
                self.cancel()

    job = CancelledAtFirstBlock("id", "tenant", "t.csv")
    with pytest.raises(JobCancelled):
        rank_trace(job, csv_of(5000), "t.csv", LIKE, SETTING)
    assert 0 < job.progress[0] < 5000


def test_a_bad_file_fails_naming_the_line():
    content = csv_of(10) + b"\n2026-11-23 10:00:00,many,10"
    job = ended(Jobs().start("tenant", "t.csv", lambda job: rank_trace(job, content, "t.csv", LIKE, SETTING)))
    assert job.state is JobState.FAILED
    assert isinstance(job.error, UnprocessableRequest)
    assert "line 12" in job.error.message
    assert "ContextTokens" in job.error.message
