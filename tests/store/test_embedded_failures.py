"""The embedded PostgreSQL survives kills, full disks and strange folders, or says what is wrong with them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest

from freerelay_core.errors import ConfigurationError
from freerelay_core.store.embedded import acquire_database
from freerelay_core.store.embedded_process import Server
from tests.store.embedded_server import (
    ENVIRONMENT,
    Child,
    exists,
    keep_rows,
    postmaster,
    rows,
    wait_until,
)

# -- kills


def test_acknowledged_rows_survive_kill_9_of_the_server(any_home: Path) -> None:
    with acquire_database(any_home) as lease:
        keep_rows(lease, 3_000)
        dsn = lease.dsn
        with psycopg.connect(dsn) as session:  # noqa: F841 - an idle session, orphaned by the kill
            os.kill(postmaster(any_home), signal.SIGKILL)
            wait_until(lambda: not lease.alive(), "the server is dead")
            lease.restart()
        assert lease.alive()
        assert lease.dsn == dsn
        assert rows(lease) == 3_000
        with acquire_database(any_home) as guest:
            assert rows(guest) == 3_000


def test_a_release_while_another_thread_restarts_the_server_leaves_none_behind(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = acquire_database(home)
    start, starts, may_start = Server.start, threading.Event(), threading.Event()

    def late(server: Server) -> None:
        starts.set()
        may_start.wait(30)
        start(server)

    monkeypatch.setattr(Server, "start", late)
    restarting, releasing = threading.Thread(target=lease.restart), threading.Thread(target=lease.release)
    restarting.start()
    starts.wait(30)
    releasing.start()
    releasing.join(0.3)
    may_start.set()
    restarting.join()
    releasing.join()

    assert not (home / "postgres" / "postmaster.pid").exists()
    with pytest.raises(ConfigurationError):
        lease.restart()


def test_owner_and_server_both_killed_the_next_start_recovers(home: Path) -> None:
    child = Child(home)
    assert child.role() == "owner"
    with acquire_database(home) as guest:
        keep_rows(guest, 100)
    os.kill(postmaster(home), signal.SIGKILL)
    child.kill()
    with acquire_database(home, require_ownership=True) as lease:
        assert rows(lease) == 100


def test_a_server_that_dies_while_it_is_taken_over_is_started_anew(home: Path) -> None:
    child = Child(home)
    assert child.role() == "owner"
    with acquire_database(home) as guest:
        keep_rows(guest, 100)
    pid = postmaster(home)
    child.kill()
    os.kill(pid, signal.SIGSTOP)  # it runs, and a session with it waits
    threading.Timer(0.5, os.kill, (pid, signal.SIGKILL)).start()
    with acquire_database(home, require_ownership=True) as lease:
        assert rows(lease) == 100
        assert postmaster(home) != pid


def test_a_server_whose_owner_was_killed_is_adopted_not_started_twice(any_home: Path) -> None:
    child = Child(any_home)
    assert child.role() == "owner"
    pid = postmaster(any_home)
    child.kill()
    assert exists(pid)

    lease = acquire_database(any_home, require_ownership=True)
    assert lease.owner
    assert lease.alive()
    assert postmaster(any_home) == pid
    keep_rows(lease, 1)

    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not lease.alive(), "the adopted server is dead")
    lease.restart()
    assert rows(lease) == 1

    lease.release()
    assert not exists(pid)


def test_release_stops_an_adopted_server(home: Path) -> None:
    child = Child(home)
    assert child.role() == "owner"
    pid = postmaster(home)
    child.kill()
    acquire_database(home).release()
    assert not exists(pid)


def test_a_killed_servers_pid_that_now_belongs_to_a_stranger_does_not_hinder(any_home: Path) -> None:
    child = Child(any_home)
    assert child.role() == "owner"
    pid = postmaster(any_home)
    os.kill(pid, signal.SIGKILL)
    child.kill()
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    for name in ("postgres/postmaster.pid", "postgres.socket/.s.PGSQL.5432.lock"):
        stale = any_home / name
        stale.write_text(stale.read_text().replace(str(pid), str(stranger.pid), 1))
    try:
        with acquire_database(any_home) as lease:
            keep_rows(lease, 1)
        assert stranger.poll() is None
    finally:
        stranger.communicate(b"\n")


def test_a_restart_without_its_folder_is_refused_in_words(home: Path) -> None:
    with acquire_database(home) as lease:
        assert not lease.folder_gone()
        shutil.rmtree(home)
        assert lease.folder_gone()
        with pytest.raises(ConfigurationError, match="postgres"):
            lease.restart()


def test_restart_replaces_a_living_server(home: Path) -> None:
    with acquire_database(home) as lease:
        before = postmaster(home)
        lease.restart()
        assert postmaster(home) != before
        keep_rows(lease, 1)


# -- folders that cannot be used, and halves


def test_a_first_start_that_was_killed_half_way_is_done_again(home: Path) -> None:
    child = Child(home)
    wait_until(lambda: list(home.glob("postgres.new-*/data/base")), "the data folder is half made")
    child.kill()
    assert list(home.glob("postgres.new-*"))
    assert not (home / "postgres").exists()
    with acquire_database(home) as lease:
        keep_rows(lease, 1)
        assert not list(home.glob("postgres.new-*"))


def test_an_empty_data_folder_is_filled_and_a_strange_one_is_left_alone(home: Path) -> None:
    data = home / "postgres"
    data.mkdir(parents=True, mode=0o700)
    (data / "letter.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match=f"{data} is not a PostgreSQL data folder: move it away"):
        acquire_database(home)
    assert (data / "letter.txt").read_text() == "mine"
    (data / "letter.txt").unlink()
    with acquire_database(home) as lease:
        keep_rows(lease, 1)


def test_a_damaged_data_folder_is_reported_with_the_servers_own_reason(home: Path) -> None:
    acquire_database(home).release()
    (home / "postgres" / "global" / "pg_control").unlink()
    with pytest.raises(
        ConfigurationError, match=r"PostgreSQL does not start on .*pg_control.*\(log: .*postgres\.log\)"
    ):
        acquire_database(home)


def test_a_home_that_is_a_file_is_refused(home: Path) -> None:
    home.write_text("a file")
    with pytest.raises(ConfigurationError, match=f"FREERELAY_HOME {home} is a file"):
        acquire_database(home)
    with pytest.raises(ConfigurationError, match=f"FREERELAY_HOME {home}/below cannot hold .*: Not a directory"):
        acquire_database(home / "below")
    assert home.read_text() == "a file"


def acquire_in_child(home: Path, preparation: str) -> str:
    """What a process prints that prepares itself and then acquires: `owner`, or the error."""
    script = f"""
import os, resource, sys
from pathlib import Path
from freerelay_core.errors import ConfigurationError
from freerelay_core.store.embedded import acquire_database
from freerelay_core.store.embedded_process import Server
{preparation}
try:
    with acquire_database(Path(sys.argv[1])):
        print("owner")
except ConfigurationError as error:
    print(error)
"""
    command = [sys.executable, "-c", script, str(home)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout.strip()


BECOME_ORDINARY = "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)"
"""Root may write anywhere, so root's test runs this part as an account that may not."""


@pytest.mark.parametrize("mode", [0o500, 0o000], ids=["unwritable", "unreadable"])
def test_a_home_that_may_not_be_used_is_refused(home: Path, mode: int) -> None:
    home.mkdir()
    home.chmod(mode)
    answer = acquire_in_child(home, BECOME_ORDINARY)
    home.chmod(0o700)
    assert answer == (
        f"FREERELAY_HOME {home} cannot hold the database: Permission denied ({home}/lock). "
        "Set FREERELAY_HOME to a folder that this account may write."
    )
    assert not list(home.iterdir())


def test_a_home_that_cannot_be_made_is_refused(home: Path) -> None:
    home.parent.chmod(0o511)
    answer = acquire_in_child(home, BECOME_ORDINARY)
    home.parent.chmod(0o711)
    assert answer.startswith(f"FREERELAY_HOME {home} cannot hold the database: Permission denied ({home}).")


def test_a_disk_that_takes_no_more_leaves_no_half_made_database(home: Path) -> None:
    answer = acquire_in_child(home, "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))")
    assert answer.startswith(f"Cannot create the database in {home}/postgres: ")
    assert "\n" not in answer
    assert {entry.name for entry in home.iterdir()} <= {"lock", "postgres.password"}
    with acquire_database(home) as lease:
        keep_rows(lease, 1)
