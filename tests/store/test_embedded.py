"""The embedded PostgreSQL: what it is started with, who gets in, who owns it and who joins."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import threading
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from freerelay_core.errors import ConfigurationError
from freerelay_core.store.embedded import DatabaseLease, acquire_database
from tests.store.embedded_server import (
    IS_ROOT,
    Child,
    exists,
    keep_rows,
    postmaster,
    processes,
    rows,
    stop_left_over,
)

# -- start and stop


def test_what_was_stored_is_there_after_a_stop_and_a_second_start(any_home: Path) -> None:
    with acquire_database(any_home) as lease:
        assert lease.owner
        assert lease.alive()
        keep_rows(lease, 3)
    with acquire_database(any_home) as lease:
        assert rows(lease) == 3


def test_release_stops_the_server_and_leaves_nothing_that_says_it_runs(home: Path) -> None:
    lease = acquire_database(home)
    pid = postmaster(home)
    lease.release()
    assert not exists(pid)
    assert not (home / "connection.json").exists()
    assert not (home / "postgres.socket").exists()
    lease.release()


def test_sessions_that_are_still_open_do_not_hold_up_the_stop(home: Path) -> None:
    lease = acquire_database(home)
    with psycopg.connect(lease.dsn) as connection:
        connection.execute("SELECT 1")
        lease.release()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_the_server_runs_as_an_ordinary_account_and_widens_no_folder(any_home: Path) -> None:
    before = stat.S_IMODE(any_home.parent.stat().st_mode)
    with acquire_database(any_home) as lease, psycopg.connect(lease.dsn) as connection:
        connection.execute("CREATE TEMP TABLE ran_as (line text)")
        connection.execute("COPY ran_as FROM PROGRAM 'id -u'")
        account = connection.execute("SELECT line FROM ran_as").fetchone()
    assert account is not None
    assert account[0] != "0"
    assert stat.S_IMODE(any_home.parent.stat().st_mode) == before


def test_files_are_for_their_owner_only(any_home: Path) -> None:
    with acquire_database(any_home):
        modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in any_home.iterdir()}
        assert modes == {
            "connection.json": 0o600,
            "lock": 0o600,
            "postgres": 0o700,
            "postgres.log": 0o600,
            "postgres.password": 0o600,
            "postgres.socket": 0o700,
        }
        # Root lends PostgreSQL an account that has to pass through the home to its data.
        assert stat.S_IMODE(any_home.stat().st_mode) == (0o711 if IS_ROOT else 0o700)


def test_the_server_sees_none_of_the_callers_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "canary")
    monkeypatch.setenv("PGDATA", "/nonexistent")
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGUSER", "stranger")
    monkeypatch.setenv("PGDATABASE", "elsewhere")
    with acquire_database(home) as lease, psycopg.connect(lease.dsn) as connection:
        connection.execute("CREATE TEMP TABLE environment (line text)")
        connection.execute("COPY environment FROM PROGRAM 'env'")
        lines = [line for (line,) in connection.execute("SELECT line FROM environment")]
    assert lines
    assert not [line for line in lines if "canary" in line]


def test_a_path_too_long_for_a_socket_uses_a_private_folder_elsewhere(home: Path) -> None:
    long_home = home.joinpath(*["a-rather-long-folder-name"] * 5)
    try:
        with acquire_database(long_home) as lease:
            folder = Path(str(conninfo_to_dict(lease.dsn)["host"]))
            assert not folder.is_relative_to(home)
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            keep_rows(lease, 1)
        assert not folder.exists()

        folder.mkdir()
        folder.chmod(0o755)
        with pytest.raises(ConfigurationError, match=f"{folder} must be a private folder"):
            acquire_database(long_home)
        folder.rmdir()
        folder.symlink_to(home)
        with pytest.raises(ConfigurationError, match=f"{folder} must be a private folder"):
            acquire_database(long_home)
        folder.unlink()

        with acquire_database(long_home) as lease:
            assert rows(lease) == 1
    finally:
        stop_left_over(long_home)


def test_commas_quotes_and_blanks_in_the_path_do_no_harm(home: Path) -> None:
    with acquire_database(home / 'a, "b" c') as lease:
        keep_rows(lease, 1)
        assert rows(lease) == 1


# -- the password


def test_nobody_gets_in_without_the_password(home: Path) -> None:
    with acquire_database(home) as lease:
        for wrong in ("", "guess"):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(make_conninfo(lease.dsn, password=wrong))


def test_the_password_is_long_random_and_in_no_repr_log_or_command_line(home: Path, tmp_path: Path) -> None:
    with acquire_database(home) as lease, acquire_database(tmp_path / "other") as other:
        password = str(conninfo_to_dict(lease.dsn)["password"])
        assert len(password) >= 43
        assert password != conninfo_to_dict(other.dsn)["password"]
        assert password not in repr(lease)
        assert password not in (home / "postgres.log").read_text()
        commands = processes()
        assert "postgres" in commands[postmaster(home)]
        assert not [command for command in commands.values() if password in command]


def test_a_lost_password_is_a_clear_error_and_the_data_stay(home: Path) -> None:
    with acquire_database(home) as lease:
        keep_rows(lease, 1)
    password = (home / "postgres.password").read_text()

    (home / "postgres.password").unlink()
    with pytest.raises(ConfigurationError, match=r"restore that file"):
        acquire_database(home)

    (home / "postgres.password").write_text("another")
    with pytest.raises(ConfigurationError, match=r"postgres\.password: .*password authentication failed"):
        acquire_database(home)
    assert not (home / "postgres" / "postmaster.pid").exists()

    (home / "postgres.password").write_text(password)
    with acquire_database(home) as lease:
        assert rows(lease) == 1


# -- owner and guests


def test_a_second_owner_is_refused_with_one_clear_line(home: Path) -> None:
    with acquire_database(home, require_ownership=True) as lease:
        with pytest.raises(ConfigurationError) as refused:
            acquire_database(home, require_ownership=True)
        assert refused.value.message == (
            f"Another FreeRelay (process {os.getpid()}) uses the folder {home}: "
            "stop it, or set FREERELAY_HOME to another folder."
        )
        assert lease.alive()


def test_a_guest_joins_and_its_release_does_not_stop_the_server(home: Path) -> None:
    with acquire_database(home) as owner:
        keep_rows(owner, 2)
        with acquire_database(home) as guest:
            assert not guest.owner
            assert guest.alive()
            assert rows(guest) == 2
            with pytest.raises(ConfigurationError, match="Only the process that owns"):
                guest.restart()
        assert owner.alive()
        assert rows(owner) == 2
        owner.release()
        assert not guest.alive()


def test_connection_json_names_the_owner(home: Path) -> None:
    with acquire_database(home) as lease:
        assert json.loads((home / "connection.json").read_text()) == {"dsn": lease.dsn, "pid": os.getpid()}


def test_of_two_processes_that_start_at_once_one_owns_and_both_work(home: Path) -> None:
    children = [Child(home), Child(home)]
    roles = {child.role(): child for child in children}
    assert set(roles) == {"owner", "guest"}
    roles["guest"].end()
    roles["owner"].end()


def test_who_waits_for_an_owner_that_ends_becomes_the_owner(home: Path) -> None:
    home.mkdir()
    leases: list[DatabaseLease] = []
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = threading.Thread(target=lambda: leases.append(acquire_database(home)))
        waiting.start()
    waiting.join()
    with leases[0] as lease:
        assert lease.owner
        keep_rows(lease, 1)
