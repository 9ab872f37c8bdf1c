"""Long work behind a page: runs in a thread of its own, reports progress, can be cancelled, and outlives a reload.

A page starts a job and puts its id into the URL; whoever opens that URL as the same owner sees the same job. States:

    running --> done        `result` is there
        |-----> failed      `error` says why, in words for a person
        `-----> cancelled   by the owner

Jobs live in this process: after a restart their ids are unknown.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from enum import StrEnum
from typing import Generic, TypeVar

from freerelay_core.clock import Clock, SystemClock, new_id
from freerelay_core.errors import Conflict, FreeRelayError, NotFound, Unavailable

__all__ = ["Job", "JobCancelled", "JobState", "Jobs"]

log = logging.getLogger(__name__)

T = TypeVar("T")

KEPT_PER_OWNER = 5
"""Ended jobs whose results an owner may still look at; older ones are forgotten."""

KEPT = 500
"""Ended jobs of all owners together."""

RUNNING_AT_ONCE = 2
"""Threads that work for all pages together at the same time: the live endpoint shares this process."""

_threads: set[threading.Thread] = set()
_starting = threading.Lock()


class JobCancelled(Exception):
    """Raised inside a job's work when its owner no longer wants it."""


class JobState(StrEnum):
    """Where a job stands; see the module's drawing."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Job(Generic[T]):
    """One piece of work. Read by pages, written by its own thread."""

    def __init__(self, job_id: str, owner: str, title: str) -> None:
        self.id = job_id
        self.owner = owner
        self.title = title
        """What it works on, for people."""
        self.result: T | None = None
        self.error: FreeRelayError | None = None
        self._progress = (0, 0)
        self._state = JobState.RUNNING
        self._lock = threading.Lock()
        self._ended = threading.Event()

    @property
    def state(self) -> JobState:
        return self._state

    @property
    def progress(self) -> tuple[int, int]:
        """How many of all steps are done; (0, 0) before their number is known."""
        return self._progress

    def report(self, done: int, total: int) -> None:
        """Called by the work after each step."""
        self._progress = (done, total)

    def cancelled(self) -> bool:
        """Asked by the work between steps: whether to stop."""
        return self._state is JobState.CANCELLED

    def cancel(self) -> None:
        """Give the job up. Takes effect at once for whoever looks; the work stops at its next step."""
        self._end(JobState.CANCELLED)

    def wait(self, timeout: float | None = None) -> bool:
        """Block until the job has ended; false when it still runs after `timeout` seconds."""
        return self._ended.wait(timeout)

    def finish(self, result: T) -> None:
        """Called by the runner: the work returned."""
        self._end(JobState.DONE, result=result)

    def fail(self, error: FreeRelayError) -> None:
        """Called by the runner: the work raised."""
        self._end(JobState.FAILED, error=error)

    def _end(self, state: JobState, *, result: T | None = None, error: FreeRelayError | None = None) -> None:
        """The first end counts: what is cancelled stays cancelled, and what is done cannot be cancelled any more."""
        with self._lock:
            if self._state is JobState.RUNNING:
                self.result, self.error, self._state = result, error, state
        self._ended.set()


class Jobs(Generic[T]):
    """The jobs of one process, each visible to its owner alone."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._jobs: dict[str, Job[T]] = {}  # oldest first
        self._lock = threading.Lock()

    def start(self, owner: str, title: str, work: Callable[[Job[T]], T]) -> Job[T]:
        """Run `work` in a thread of its own. It reports through the job and raises `JobCancelled` when asked to stop.

        Raises `Conflict` while the owner's last job runs, `Unavailable` while too many run altogether.
        """
        with _starting, self._lock:
            if any(job.owner == owner and job.state is JobState.RUNNING for job in self._jobs.values()):
                raise Conflict(
                    "Your last trace is still being ranked. Wait for it, or cancel it first.", code="job_runs"
                )
            if len(_threads) >= RUNNING_AT_ONCE:
                raise Unavailable("Others are ranking traces right now. Try again in a moment.", retry_after_s=5.0)
            job: Job[T] = Job(new_id(self._clock), owner, title)
            self._jobs[job.id] = job
            self._forget(owner)
            thread = threading.Thread(target=self._run, args=(job, work), name=f"job-{job.id}", daemon=True)
            _threads.add(thread)
        thread.start()
        return job

    def get(self, owner: str, job_id: str) -> Job[T]:
        """The owner's job with this id. Raises `NotFound`, for another owner's job as for an unknown one."""
        job = self._jobs.get(job_id)
        if job is None or job.owner != owner:
            raise NotFound(
                "There is no such job: its link is wrong, its result is no longer kept, or the server was restarted. "
                "Start it again.",
                param="job",
            )
        return job

    def running(self, owner: str) -> Job[T] | None:
        """The job of this owner that still runs, if any."""
        with self._lock:
            jobs = list(self._jobs.values())
        return next((job for job in jobs if job.owner == owner and job.state is JobState.RUNNING), None)

    def _run(self, job: Job[T], work: Callable[[Job[T]], T]) -> None:
        try:
            job.finish(work(job))
        except JobCancelled:
            job.cancel()
        except FreeRelayError as error:
            job.fail(error)
        except Exception:
            log.exception("job %s failed", job.id)
            job.fail(FreeRelayError(f"This did not work, and the fault is ours. Job {job.id} is in the server's log."))
        finally:
            _threads.discard(threading.current_thread())

    def _forget(self, owner: str) -> None:
        ended = [job for job in self._jobs.values() if job.state is not JobState.RUNNING]
        own = [job for job in ended if job.owner == owner]
        for job in (*own[:-KEPT_PER_OWNER], *ended[:-KEPT]):
            self._jobs.pop(job.id, None)
