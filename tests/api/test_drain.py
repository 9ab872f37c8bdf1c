"""Stopping the server while it works: in a process of its own, with real signals."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import httpx
import openai
import psycopg
import pytest
from api_server import BODY, OPERATOR_KEY
from serving import environment, eventually, free_port
from upstreams import Hanging, delta, opened, upstream_server

CATALOGUE = """
providers:
  slow: {{base_url: "{url}"}}
endpoints:
  slow/m: {{like: openai/gpt-4o-mini, upstream_model: m, price: free}}
"""


@pytest.fixture
def upstream():
    with upstream_server() as made:
        yield made


@contextmanager
def serving(dsn, upstream, folder, drain_s):
    """`uvicorn freerelay_core.api:app`; yields the process, its URL and the demo tenant's key."""
    catalogue = folder / "catalogue.yaml"
    catalogue.write_text(CATALOGUE.format(url=upstream.url))
    port = free_port()
    settings = {
        "DATABASE_URL": dsn, "FREERELAY_DEMO": "true", "FREERELAY_OPERATOR_KEY": OPERATOR_KEY,
        "FREERELAY_CATALOGUE": str(catalogue), "FREERELAY_DRAIN_S": str(drain_s),
    }  # fmt: skip
    command = [sys.executable, "-m", "uvicorn", "freerelay_core.api:app", "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(command, env=environment(folder / "home", **settings), cwd=Path(__file__).parents[2])
    url = f"http://127.0.0.1:{port}"

    def ready():
        assert process.poll() is None
        try:
            return httpx.get(f"{url}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    try:
        eventually(ready)
        lines = (folder / "home" / "credentials").read_text().splitlines()
        yield process, url, next(line.partition("=")[2] for line in lines if "OPENAI_API_KEY" in line)
    finally:
        process.kill()
        process.wait()


def sdk(url, key):
    return openai.OpenAI(api_key=key, base_url=f"{url}/v1", max_retries=0)


class Reader(threading.Thread):
    """Reads a stream in the background with the SDK."""

    def __init__(self, client):
        super().__init__()
        self.client = client
        self.words = []
        self.error = None
        self.began = threading.Event()
        self.start()

    def run(self):
        try:
            for chunk in self.client.chat.completions.create(**BODY, stream=True):
                self.words.append(chunk.choices[0].delta.content or "")
                self.began.set()
        except openai.APIError as error:
            self.error = error


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_stops_at_once(database, upstream, tmp_path, how):
    with serving(database, upstream, tmp_path, drain_s=60) as (process, _, _):
        process.send_signal(how)
        process.wait(5)


async def paused(request):
    """A stream that goes on once `Upstream.read_on` is set."""
    await opened(request)
    await request.event(delta("before"))
    await asyncio.to_thread(request.read_on.wait, 20)
    await request.event(delta(" after"))
    await request.event(delta(finish_reason="stop"))
    await request.event(b"[DONE]")
    request.writer.write(b"0\r\n\r\n")


def test_while_draining_streams_go_on_and_nothing_new_begins(database, upstream, tmp_path):
    upstream.plan("m", paused)
    with serving(database, upstream, tmp_path, drain_s=20) as (process, url, key):
        reader = Reader(sdk(url, key))
        assert reader.began.wait(10)
        process.send_signal(signal.SIGTERM)
        eventually(lambda: httpx.get(f"{url}/readyz").status_code == 503)
        refused = httpx.post(f"{url}/v1/chat/completions", json=BODY, headers={"authorization": f"Bearer {key}"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "server_shutting_down")
        assert refused.headers["retry-after"]
        upstream.read_on.set()
        reader.join(10)
        process.wait(10)
    assert ("".join(reader.words), reader.error) == ("before after", None)


def test_of_many_streams_those_that_end_in_time_are_whole_the_others_are_told_and_all_are_on_record(
    databases, migrated_template, upstream, tmp_path
):
    upstream.plan("m", *[paused, Hanging("before")] * 10)
    dsn = databases.create("drained_streams", template=migrated_template)
    with serving(dsn, upstream, tmp_path, drain_s=60) as (process, url, key):
        client = sdk(url, key)
        readers = [Reader(client) for _ in range(20)]
        assert all(reader.began.wait(20) for reader in readers)
        process.send_signal(signal.SIGTERM)
        eventually(lambda: httpx.get(f"{url}/readyz").status_code == 503)
        upstream.read_on.set()
        eventually(lambda: sum(reader.is_alive() for reader in readers) == 10)
        process.send_signal(signal.SIGTERM)
        for reader in readers:
            reader.join(10)
        process.wait(10)
    whole = [reader for reader in readers if reader.error is None]
    assert ["".join(reader.words) for reader in whole] == ["before after"] * 10
    told = [reader.error.body["code"] for reader in readers if reader.error is not None]
    assert told == ["server_shutting_down"] * 10
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("select status, count(*) from public.decisions where not demo group by status")
        assert dict(rows.fetchall()) == {200: 10, 503: 10}
    databases.drop("drained_streams")


def test_while_draining_connections_end_so_that_the_next_request_finds_another_server(database, upstream, tmp_path):
    upstream.plan("m", paused)
    with serving(database, upstream, tmp_path, drain_s=20) as (process, url, key):
        reader = Reader(sdk(url, key))
        assert reader.began.wait(10)
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}) as client:
            assert "connection" not in client.get("/v1/models").headers
            process.send_signal(signal.SIGTERM)
            eventually(lambda: client.get("/readyz").status_code == 503)
            refused, answered = client.post("/v1/chat/completions", json=BODY), client.get("/v1/models")
        assert (refused.status_code, refused.headers["connection"]) == (503, "close")
        assert (answered.status_code, answered.headers["connection"]) == (200, "close")
        upstream.read_on.set()
        reader.join(10)


def test_while_requests_keep_coming_they_are_refused_before_the_server_goes(database, upstream, tmp_path):
    with serving(database, upstream, tmp_path, drain_s=60) as (process, url, key):
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}) as client:
            assert client.post("/v1/chat/completions", json=BODY).status_code == 200
            process.send_signal(signal.SIGTERM)
            eventually(lambda: client.get("/readyz").status_code == 503)
            refused = [client.post("/v1/chat/completions", json=BODY) for _ in range(300)]
        assert {answer.json()["error"]["code"] for answer in refused} == {"server_shutting_down"}
        process.wait(10)


@pytest.mark.parametrize("second_signal", [False, True])
def test_a_stream_that_outlives_the_drain_ends_in_an_error_event(database, upstream, tmp_path, second_signal):
    plan = Hanging("word")
    upstream.plan("m", plan)
    with serving(database, upstream, tmp_path, drain_s=60 if second_signal else 0.2) as (process, url, key):
        reader = Reader(sdk(url, key))
        assert reader.began.wait(10)
        process.send_signal(signal.SIGTERM)
        if second_signal:
            eventually(lambda: httpx.get(f"{url}/readyz").status_code == 503)
            process.send_signal(signal.SIGTERM)
        reader.join(10)
        process.wait(10)
    assert reader.words == ["", "word"]
    assert reader.error.body["code"] == "server_shutting_down"
    assert reader.error.body["request_id"].startswith("req_")
    assert plan.left.wait(10)


def test_a_request_without_first_byte_gets_503_when_the_drain_is_over(database, upstream, tmp_path):
    plan = Hanging()
    upstream.plan("m", plan)
    with serving(database, upstream, tmp_path, drain_s=0.2) as (process, url, key):
        answers = []

        def ask():
            answers.append(
                httpx.post(
                    f"{url}/v1/chat/completions", json=BODY, headers={"authorization": f"Bearer {key}"}, timeout=20
                )
            )

        thread = threading.Thread(target=ask)
        thread.start()
        assert plan.began.wait(10)
        process.send_signal(signal.SIGTERM)
        thread.join(10)
        process.wait(10)
    assert (answers[0].status_code, answers[0].json()["error"]["code"]) == (503, "server_shutting_down")


def test_decisions_still_in_memory_are_written_before_the_end(databases, migrated_template, upstream, tmp_path):
    dsn = databases.create("drained", template=migrated_template)
    with serving(dsn, upstream, tmp_path, drain_s=1) as (process, url, key):
        headers = {"authorization": f"Bearer {key}"}
        asked = [httpx.post(f"{url}/v1/chat/completions", json=BODY, headers=headers) for _ in range(20)]
        process.send_signal(signal.SIGTERM)
        process.wait(10)
    with psycopg.connect(dsn) as connection:
        written = {str(row[0]) for row in connection.execute("select id from public.decisions where not demo")}
    assert written == {answer.headers["x-freerelay-decision-id"] for answer in asked}
    databases.drop("drained")


def test_a_start_that_cannot_work_says_why_in_one_line(tmp_path):
    settings = {"DATABASE_URL": "postgresql://localhost/x"}
    command = [sys.executable, "-m", "uvicorn", "freerelay_core.api:app", "--port", str(free_port())]
    run = subprocess.run(
        command,
        env=environment(tmp_path, **settings),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert run.returncode != 0
    assert "FREERELAY_OPERATOR_KEY" in run.stderr
    assert "Traceback" not in run.stderr
