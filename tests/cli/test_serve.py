"""`freerelay serve` as a user meets it: real processes, a real database, a real shell."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from serving import READY, Serving, eventually, processes_of, serving

from freerelay_core.config import unknown_variables

OPERATOR_KEY = "operator-key-of-the-tests-0123456789"


def refused(serve: Serving) -> str:
    """The one line with which a start was refused."""
    assert serve.ends() == 1
    assert serve.process.stdout.read() == ""
    (line,) = serve.errors.splitlines()
    return line


def shell(lines: list[str]) -> str:
    """What a shell prints when the lines are pasted into it."""
    return subprocess.run(["sh", "-c", "\n".join(lines)], capture_output=True, text=True, check=True).stdout


@contextmanager
def chat_stream(it: Serving) -> Iterator[Iterator[str]]:
    """The lines of a streamed answer of a few seconds, as they arrive."""
    with httpx.stream(
        "POST",
        f"{it.url}/v1/chat/completions",
        headers={"Authorization": f"Bearer {it.exports['OPENAI_API_KEY']}"},
        json={"model": "freerelay/auto", "stream": True, "messages": [{"role": "user", "content": "Tell me a tale."}]},
        timeout=60,
    ) as answer:
        yield (line for line in answer.iter_lines() if line)


# -- what it prints


def test_the_printed_lines_paste_into_a_shell_and_the_request_in_them_is_answered(running):
    answer = json.loads(shell(running.lines))
    assert answer["choices"][0]["message"]["content"]


def test_the_printed_lines_tell_all_that_a_user_needs(running):
    assert running.exports["OPENAI_BASE_URL"] == f"{running.url}/v1"
    assert running.exports["OPENAI_API_KEY"].startswith("fr_live_")
    assert running.exports["FREERELAY_OPERATOR_KEY"].startswith("fr_admin_")
    assert running.exports["FREERELAY_DASHBOARD_URL"] == running.url
    assert any("simulated" in line and " 0 real" in line for line in running.lines)
    assert running.lines[-1] == READY


def test_the_dashboard_and_the_endpoint_answer_on_one_port(running):
    assert httpx.get(running.url).headers["content-type"].startswith("text/html")
    assert httpx.get(f"{running.url}/readyz").headers["content-type"] == "application/json"


def test_an_idle_connection_is_kept_for_longer_than_openai_s_clients_keep_theirs(running):
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as connection:
        for pause_s in (5.5, 0):  # theirs end after 5 s; a server that ends them first cuts off a request now and then
            connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
            time.sleep(pause_s)


def test_no_secret_is_on_a_command_line(running):
    arguments = "\n".join(word for process in processes_of(running.home) for word in process.cmdline())
    assert str(running.port) in arguments
    password = (running.home / "postgres.password").read_text()
    for secret in (running.exports["OPENAI_API_KEY"], running.exports["FREERELAY_OPERATOR_KEY"], password):
        assert secret not in arguments


# -- what it refuses


def test_a_second_start_on_the_same_folder_is_refused(running):
    line = refused(Serving(running.home))
    assert str(running.home) in line
    assert str(running.process.pid) in line


def test_a_taken_port_is_refused_before_anything_is_started(home):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        line = refused(Serving(home, port=port))
    assert f"Port {port} on 127.0.0.1 is taken" in line
    assert not (home).exists()


def test_a_home_that_is_a_file_is_refused(home):
    home.write_text("mine")
    assert str(home) in refused(Serving(home))
    assert home.read_text() == "mine"


def test_a_home_that_cannot_be_made_is_refused():
    home = Path("/proc/freerelay")  # refuses root, too
    assert str(home) in refused(Serving(home))


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("FREERELAY_DRAIN_S", "soon", "FREERELAY_DRAIN_S"),
        ("FREERELAY_HOST", "no.such.host.invalid", "FREERELAY_HOST"),
        ("FREERELAY_CATALOGUE", "absent.yaml", "absent.yaml"),
        ("FREERELAY_RULES", "absent.yaml", "absent.yaml"),
        ("FREERELAY_TENANT_RPM", "60,ann@example.com=few", "FREERELAY_TENANT_RPM: 'ann@example.com=few'"),
        ("FREERELAY_TENANT_CONCURRENCY", "platinum=3", "FREERELAY_TENANT_CONCURRENCY: 'platinum=3'"),
        ("FREERELAY_OPERATOR_KEY", "short", "FREERELAY_OPERATOR_KEY must have at least 32 characters"),
        ("FREERELAY_METRICS_KEY", "short", "FREERELAY_METRICS_KEY: Key should have at least 32 characters"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_before_anything_is_started(home, variable, value, named):
    assert named in refused(Serving(home, **{variable: value}))
    assert not (home).exists()


def test_another_database_without_the_operators_key_is_refused(home, database):
    assert "FREERELAY_OPERATOR_KEY" in refused(Serving(home, DATABASE_URL=database))


# -- what it warns of


def test_a_variable_that_is_no_setting_is_named_with_the_one_it_may_mean_and_without_its_value(home):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        serve = Serving(
            home,
            port=taken.getsockname()[1],
            FREERELAY_TENANT_RMP="canary=5",
            FREERELAY_DATABASE_URL="postgresql://canary",
            FREERELAY_SOMETHING="canary",
            FREERELAY_DASHBOARD_URL="http://127.0.0.1:1",
        )
        assert serve.ends() == 1
    *warnings, refusal = serve.errors.splitlines()
    assert "is taken" in refusal
    for line, words in zip(
        warnings,
        ("FREERELAY_DATABASE_URL is no setting, and does nothing. Did you mean DATABASE_URL?",
         "FREERELAY_SOMETHING is no setting, and does nothing.",
         "FREERELAY_TENANT_RMP is no setting, and does nothing. Did you mean FREERELAY_TENANT_RPM?"),
        strict=True,
    ):  # fmt: skip
        assert line.endswith(words)
    assert "canary" not in serve.errors


def test_no_variable_that_the_documents_name_is_unknown():
    checkout = Path(__file__).parents[2]
    documents = [checkout / "README.md", *(checkout / "docs").glob("*.md")]
    named = {name for document in documents for name in re.findall(r"\bFREERELAY_[A-Z_]+\b", document.read_text())}
    assert len(named) > 20
    assert unknown_variables(named) == []


# -- another database


def test_with_another_database_no_key_is_printed_and_no_database_started(home, database):
    with serving(home, DATABASE_URL=database, FREERELAY_OPERATOR_KEY=OPERATOR_KEY) as it:
        assert set(it.exports) == {"OPENAI_BASE_URL", "FREERELAY_DASHBOARD_URL"}
        assert not home.exists()
        models = httpx.get(f"{it.url}/v1/models", headers={"Authorization": f"Bearer {OPERATOR_KEY}"})
        assert models.status_code == 200
        it.stop()


# -- how it ends


def test_ctrl_c_lets_an_open_stream_end(home):
    # At this pace the slowest endpoint of the fleet, which one request in a hundred explores, ends within 3 s of the 5.
    with serving(home, FREERELAY_SIMULATED_TIME_SCALE="0.3", FREERELAY_DRAIN_S="30") as it, chat_stream(it) as lines:
        next(lines)
        os.killpg(it.process.pid, signal.SIGINT)  # as a terminal does: to the whole group
        assert list(lines)[-1] == "data: [DONE]"
        assert it.ends() == 0


def test_a_second_signal_ends_an_open_stream_at_once(home):
    with serving(home, FREERELAY_SIMULATED_TIME_SCALE="4", FREERELAY_DRAIN_S="600") as it, chat_stream(it) as lines:
        next(lines)
        it.process.send_signal(signal.SIGTERM)
        eventually(lambda: httpx.get(f"{it.url}/readyz").status_code == 503)
        it.process.send_signal(signal.SIGTERM)
        assert "server_shutting_down" in list(lines)[-1]
        assert it.ends() == 0
        assert processes_of(home) == []


def test_a_server_that_dies_ends_everything_with_one_line(home):
    with serving(home) as it:
        it.server.kill()
        assert it.ends() == 1
        assert it.errors.splitlines()[-1] == "freerelay: The server ended by itself (signal SIGKILL)."
        assert processes_of(it.home) == []


def test_a_killed_parent_takes_its_server_along_and_the_next_start_adopts_its_database(home):
    with serving(home) as it:
        server, database = it.server, it.database
        it.process.kill()
        assert psutil.wait_procs([server], timeout=30) == ([server], [])
        with serving(it.home) as successor:
            assert successor.database == database
            assert successor.exports["OPENAI_API_KEY"] == it.exports["OPENAI_API_KEY"]
            successor.stop()
        assert processes_of(it.home) == []


def test_a_database_that_dies_is_started_again(home):
    with serving(home) as it:
        it.database.kill()
        eventually(lambda: "PostgreSQL ended unexpectedly and was started again." in it.errors)
        assert it.stop() == 0
        assert processes_of(it.home) == []


def test_a_home_deleted_meanwhile_ends_everything_with_one_line(home):
    with serving(home, FREERELAY_DEMO_WEEK="false") as it:
        away = home.rename(home.with_name("away"))  # at once: PostgreSQL may write while a tree is being removed
        shutil.rmtree(away, ignore_errors=True)
        assert it.ends() == 1
        # The pool may notice first, where a query happens to be due, and then says so, too.
        said = [line for line in it.errors.splitlines() if " psycopg.pool " not in line]
        assert len(said) == 1, it.errors
        for word in ("freerelay: ", str(home / "postgres"), "start again"):
            assert word in it.errors
        assert processes_of(home) == []
        assert not home.exists()


# -- what it keeps


def preference(it: Serving, chosen: str | None = None) -> str:
    """The routing preference that the demo tenant has, or has after choosing one."""
    url, headers = f"{it.url}/v1/tenant/settings", {"Authorization": f"Bearer {it.exports['OPENAI_API_KEY']}"}
    if chosen is None:
        answer = httpx.get(url, headers=headers)
    else:
        answer = httpx.post(url, headers=headers, json={"routing_preference": chosen})
    return answer.raise_for_status().json()["routing_preference"]


def end(it: Serving, how: signal.Signals) -> None:
    """Stop it with a signal; everything of it ends, the database too."""
    assert len(processes_of(it.home)) > 2
    assert it.stop(how) == 0
    assert processes_of(it.home) == []


def test_settings_and_keys_outlast_restarts_in_any_folder_and_a_deleted_folder_is_a_fresh_install(folder):
    state = Path("state")
    with serving(state, folder=folder) as first:
        assert (folder / state / "credentials").exists()
        assert httpx.get(first.url).status_code == 200
        assert preference(first, "performance-first") == "performance-first"
        end(first, signal.SIGTERM)
    assert [path.name for path in folder.iterdir()] == ["state"]
    with serving(folder / state) as second:
        assert second.exports["OPENAI_API_KEY"] == first.exports["OPENAI_API_KEY"]
        assert preference(second) == "performance-first"
        end(second, signal.SIGINT)
    subprocess.run(["rm", "-r", folder / state], check=True)
    with serving(folder / state) as fresh:
        assert fresh.exports["OPENAI_API_KEY"] != first.exports["OPENAI_API_KEY"]
        assert preference(fresh) != "performance-first"
        end(fresh, signal.SIGHUP)
