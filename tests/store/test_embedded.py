"""The embedded PostgreSQL: who owns it, who joins, and what survives kills, full disks and strange folders."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from freerelay_core.errors import ConfigurationError
from freerelay_core.store.embedded import DatabaseLease, acquire_database

IS_ROOT = os.geteuid() == 0
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
"""For other Python processes that import what this one imports."""


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait for a change in another process; there is nothing to be notified by."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.005)


def processes() -> dict[int, str]:
    """The command line of every process that lives."""
    if not Path("/proc/self").is_dir():
        listing = subprocess.run(["/bin/ps", "-axww", "-o", "pid=,args="], capture_output=True, text=True, check=True)
        return {int(line.split()[0]): line for line in listing.stdout.splitlines() if "<defunct>" not in line}
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # ended meanwhile
            if (folder / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found[int(folder.name)] = (folder / "cmdline").read_text(errors="replace")
    return found


def exists(pid: int) -> bool:
    return pid in processes()


def postmaster(home: Path) -> int:
    return int((home / "postgres" / "postmaster.pid").read_text().split()[0])


def stop_left_over(home: Path) -> None:
    """A test that kills owners, or fails, leaves its server behind."""
    if (home / "postgres" / "postmaster.pid").exists() and exists(pid := postmaster(home)):
        os.kill(pid, signal.SIGQUIT)
        wait_until(lambda: not exists(pid), "the server has stopped")


@pytest.fixture
def home() -> Iterator[Path]:
    """A home (not made yet) with a short path that every account can reach."""
    folder = Path(tempfile.mkdtemp(prefix="fr-"))
    folder.chmod(0o711)
    yield folder / "home"
    stop_left_over(folder / "home")
    shutil.rmtree(folder)


@pytest.fixture(params=["reachable", "private"])
def any_home(request: pytest.FixtureRequest, home: Path) -> Path:
    """The same twice: root's server runs as a lent account where that can reach the home, else in a namespace."""
    home.parent.chmod(0o711 if request.param == "reachable" else 0o700)
    return home


def rows(lease: DatabaseLease) -> int:
    with psycopg.connect(lease.dsn) as connection:
        row = connection.execute("SELECT count(*) FROM kept").fetchone()
        assert row is not None
        return int(row[0])


def keep_rows(lease: DatabaseLease, count: int) -> None:
    """Insert `count` rows, each acknowledged on its own."""
    with psycopg.connect(lease.dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        for number in range(count):
            connection.execute("INSERT INTO kept VALUES (%s)", [number])


class Child:
    """Another process that acquires the database of `home`, tells what it got, and waits to be told to end."""

    SCRIPT = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        import psycopg
        from freerelay_core.store.embedded import acquire_database
        with acquire_database(Path(sys.argv[1])) as lease:
            with psycopg.connect(lease.dsn) as connection:
                connection.execute("SELECT 1")
            print("owner" if lease.owner else "guest", flush=True)
            sys.stdin.readline()
        """
    )

    def __init__(self, home: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.SCRIPT, str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            start_new_session=True,
        )

    def role(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.communicate("\n", timeout=30)
        assert self.process.returncode == 0

    def kill(self) -> None:
        """Kill it and what it started in its own session, as the kernel does when memory runs out."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


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


def test_owner_and_server_both_killed_the_next_start_recovers(home: Path) -> None:
    child = Child(home)
    assert child.role() == "owner"
    with acquire_database(home) as guest:
        keep_rows(guest, 100)
    os.kill(postmaster(home), signal.SIGKILL)
    child.kill()
    with acquire_database(home, require_ownership=True) as lease:
        assert rows(lease) == 100


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
