"""The embedded PostgreSQL: one server a `FREERELAY_HOME`, one process that owns it, any number of guests.

    lock free, no server      the first process: makes the database if need be, starts it, owns it
    lock free, server lives   its owner was killed: adopted, then owned
    lock held                 a guest, once `connection.json` answers; or refused where ownership is required

In the folder: `postgres/` (data), `postgres.password`, `postgres.log`, `postgres.socket/`, `lock` (held with flock as
long as the owner lives) and, while a server runs, `connection.json`. Files are 0600, folders 0700, and nothing that
exists is ever widened. Only where root creates the home itself is it 0711, so that the account lent to PostgreSQL can
pass through to its data.

Linux and macOS. On Windows use `DATABASE_URL`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import tempfile
import threading
import time  # waits for real processes: no simulation ever runs this on a virtual clock
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg.conninfo import make_conninfo

from freerelay_core.errors import ConfigurationError
from freerelay_core.store.embedded_process import (
    PORT,
    SUPERUSER,
    Server,
    choose_programs,
    explanation,
    open_private,
)

__all__ = ["Database", "DatabaseLease", "acquire_database", "has_database"]

DATABASE = "freerelay"

_JOIN_S = 15.0
"""How long a guest waits for the owner's database."""
_POLL_S = 0.1
_CONNECT_S = 5
_DYING_S = 2.0
"""Within this time a server whose process was killed is gone."""


@dataclass(frozen=True, slots=True)
class Database:
    """A database that answers: its connection string (libpq keywords, with the password) and whether it is ours."""

    dsn: str = field(repr=False)
    owner: bool


class DatabaseLease:
    """The use of an embedded database until `release`. A context manager."""

    def __init__(self, database: Database, server: Server | None = None, lock: _Lock | None = None) -> None:
        self._database = database
        self._server = server
        self._lock = lock
        self._one_at_a_time = threading.Lock()
        """A restart in another thread must not start what a release has stopped."""

    def __repr__(self) -> str:
        return f"DatabaseLease({self._database!r})"

    @property
    def dsn(self) -> str:
        """Connection string for psycopg. It holds the password: never log it."""
        return self._database.dsn

    @property
    def owner(self) -> bool:
        """Whether this process started or adopted the server and must stop it."""
        return self._database.owner

    def alive(self) -> bool:
        """Whether the server process lives (owner) or a server answers (guest)."""
        server = self._server  # another thread may release it
        if server is not None:
            return server.running()
        status = psycopg.pq.PGconn.ping(make_conninfo(self.dsn, connect_timeout=_CONNECT_S).encode())
        return status != psycopg.pq.Ping.NO_RESPONSE

    @property
    def folder(self) -> Path | None:
        """Where the owned database lies; None for a guest, and after the release."""
        lock = self._lock
        return None if lock is None else lock.files.data

    def folder_gone(self) -> bool:
        """Whether somebody has removed the owned database's folder: no restart will bring it back."""
        folder = self.folder
        if folder is None:
            return False
        try:
            folder.stat()
        except OSError as error:  # any other reason may pass
            return isinstance(error, FileNotFoundError)
        return False

    def restart(self) -> None:
        """Start the owned server again with the same connection string, after it died or instead of the living one.

        Raises `ConfigurationError` when it does not start, or when another process owns it.
        """
        with self._one_at_a_time:
            if self._server is None:
                raise ConfigurationError("Only the process that owns the embedded database can restart it.")
            self._server.stop()
            try:
                self._server.start()
            except OSError as error:
                raise ConfigurationError(
                    f"PostgreSQL cannot be started again: {error.strerror or error} ({error.filename or self.folder})."
                ) from error

    def release(self) -> None:
        """Owner: stop the server, then let others own the folder. Guest: nothing. May be called again.

        Waits for the end of a restart that another thread has begun.
        """
        with self._one_at_a_time:
            self._release()

    def _release(self) -> None:
        server, self._server = self._server, None
        lock, self._lock = self._lock, None
        if server is None or lock is None:
            return
        try:
            lock.files.connection.unlink(missing_ok=True)
            server.stop()
        finally:
            lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def has_database(home: Path) -> bool:
    """Whether the folder `home` holds a database; also True where it cannot be looked into, which `acquire_database`
    explains. Changes nothing.
    """
    try:
        return any(_Files(home).data.iterdir())
    except FileNotFoundError:
        return False
    except OSError:
        return True


def acquire_database(home: Path, *, require_ownership: bool = False) -> DatabaseLease:
    """The embedded database of the folder `home` (FREERELAY_HOME), started if nobody runs it.

    A process that comes second is a guest, or is refused if it requires ownership. Blocks: about half a second the
    first time, a guest up to 15 s for its host, crash recovery up to 60 s.
    Raises `ConfigurationError`, one line, when the folder, the disk, the account or PostgreSQL does not allow it.
    """
    files = _Files(Path(os.path.realpath(home)))
    try:
        _make_home(files.home)
        deadline = time.monotonic() + _JOIN_S
        while True:
            lock = _Lock.try_take(files)
            if lock is not None:
                return _own(files, lock)
            if require_ownership:
                raise ConfigurationError(
                    f"{_other(files)} uses the folder {files.home}: stop it, or set FREERELAY_HOME to another folder.",
                    param="FREERELAY_HOME",
                )
            joined = _join(files)
            if joined is not None:
                return joined
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    f"{_other(files)} uses the folder {files.home}, but its database does not answer: wait until it "
                    "has started, stop it, or set FREERELAY_HOME to another folder.",
                    param="FREERELAY_HOME",
                )
            time.sleep(_POLL_S)
    except OSError as error:
        raise ConfigurationError(
            f"FREERELAY_HOME {files.home} cannot hold the database: {error.strerror or error} "
            f"({error.filename or files.home}). Set FREERELAY_HOME to a folder that this account may write.",
            param="FREERELAY_HOME",
        ) from error


# -- the folder


@dataclass(frozen=True, slots=True)
class _Files:
    """Names inside the home."""

    home: Path

    @property
    def data(self) -> Path:
        return self.home / "postgres"

    @property
    def password(self) -> Path:
        return self.home / "postgres.password"

    @property
    def log(self) -> Path:
        return self.home / "postgres.log"

    @property
    def lock(self) -> Path:
        return self.home / "lock"

    @property
    def connection(self) -> Path:
        return self.home / "connection.json"


class _Lock:
    """The right to own the database of a folder; the kernel ends it with the process, however that dies."""

    def __init__(self, files: _Files, descriptor: int) -> None:
        self.files = files
        self._descriptor = descriptor

    @classmethod
    def try_take(cls, files: _Files) -> _Lock | None:
        """The lock with our process id in it; None when somebody holds it."""
        descriptor = open_private(files.lock, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        return cls(files, descriptor)

    def release(self) -> None:
        """Let others take it. The file stays: removing it would let two processes hold two locks of one name."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)


def _make_home(home: Path) -> None:
    if any("\udc80" <= character <= "\udcff" for character in str(home)):  # bytes that are no UTF-8
        raise ConfigurationError(
            f"FREERELAY_HOME {home} cannot hold the database: its name must be UTF-8 text.", param="FREERELAY_HOME"
        )
    try:
        home.mkdir(parents=True)
    except FileExistsError:
        if not home.is_dir():
            raise ConfigurationError(
                f"FREERELAY_HOME {home} is a file: set it to a folder.", param="FREERELAY_HOME"
            ) from None
    else:
        home.chmod(0o711 if os.geteuid() == 0 else 0o700)


def _write_private(path: Path, text: str) -> None:
    """Put `text` at `path`, 0600: all of it or, when the disk is full, the file that was there before."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink()
        raise


def _other(files: _Files) -> str:
    """The other process, by its id if it has told."""
    number = files.lock.read_text().strip()
    return f"Another FreeRelay (process {number})" if number.isdigit() else "Another FreeRelay"


# -- owner and guest


def _own(files: _Files, lock: _Lock) -> DatabaseLease:
    """Adopt or start the server, with the lock in hand. Lets go of everything when that fails."""
    with contextlib.ExitStack() as undo:
        undo.callback(lock.release)
        files.connection.unlink(missing_ok=True)
        password = _password(files)
        server = Server(files.data, files.log)
        if not _adopted(files, server, password):
            server.start()
            undo.callback(server.stop)
            _ensure_database(files, server, password)
        dsn = _dsn(server, password, DATABASE)
        _write_private(files.connection, json.dumps({"dsn": dsn, "pid": os.getpid()}))
        undo.pop_all()
    return DatabaseLease(Database(dsn, owner=True), server, lock)


def _adopted(files: _Files, server: Server, password: str) -> bool:
    """Take over a server that already runs; False where there is none, or where it dies just now."""
    if not server.adopt():
        return False
    try:
        _ensure_database(files, server, password)
    except ConfigurationError:
        if not server.ends_within(_DYING_S):
            raise
        return False
    return True


def _password(files: _Files) -> str:
    """The password of the database in the folder, which is created if there is none."""
    try:
        content = {entry.name for entry in files.data.iterdir()}
    except FileNotFoundError:
        content = set()
    if not content:
        password = secrets.token_urlsafe(32)
        _write_private(files.password, password)
        _create_data(files.data, password)
        return password
    if "PG_VERSION" not in content:
        raise ConfigurationError(f"{files.data} is not a PostgreSQL data folder: move it away.")
    try:
        return files.password.read_text().strip()
    except FileNotFoundError:
        raise ConfigurationError(
            f"The database in {files.data} needs the password that was in {files.password}: restore that file, "
            "or move both away for a fresh database."
        ) from None


def _create_data(data: Path, password: str) -> None:
    """Make a new database cluster at `data`, whose superuser needs `password` (scram-sha-256).

    It is made beside its final place and renamed when complete and on disk, so a folder of this name is never half
    made. What an interrupted attempt left behind goes first. When this fails, nothing is left.
    """
    scratch_prefix = f"{data.name}.new-"
    for leftover in data.parent.glob(f"{scratch_prefix}*"):
        # An orphaned initdb may still write in there; what cannot go now goes at the next attempt.
        shutil.rmtree(leftover, ignore_errors=True)
    programs, account = choose_programs(data, exists=False)
    scratch = Path(tempfile.mkdtemp(prefix=scratch_prefix, dir=data.parent))
    password_file = scratch / "password"
    # Not --no-sync: the rename below would reach the disk before the files do, and a power cut in the first minute
    # would leave a folder that looks complete and is not. Waiting for the disk costs 0.1 s.
    options = ["--auth=scram-sha-256", f"--pwfile={password_file}", "--locale=C.UTF-8", "--encoding=UTF8"]
    try:
        _write_private(password_file, password)
        account.give(password_file)
        account.give(scratch)
        status, output = account.run(
            [programs / "initdb", "-D", scratch / "data", f"--username={SUPERUSER}", *options, "--no-instructions"]
        )
        if status != 0:
            raise ConfigurationError(f"Cannot create the database in {data}: {explanation(output)}")
        (scratch / "data").rename(data)
        _sync_folder(data.parent)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    """Make renames in `folder` outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _dsn(server: Server, password: str, database: str) -> str:
    return make_conninfo(host=str(server.socket_folder), port=PORT, user=SUPERUSER, password=password, dbname=database)


def _ensure_database(files: _Files, server: Server, password: str) -> None:
    """Prove that the server takes our password, and create the database unless it is there."""
    try:
        maintenance = _dsn(server, password, "postgres")
        with psycopg.connect(maintenance, autocommit=True, connect_timeout=_CONNECT_S) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if known is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")
    except psycopg.Error as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(
            f"The database in {files.data} cannot be used with {files.password}: {reason} (log: {files.log})"
        ) from error


def _join(files: _Files) -> DatabaseLease | None:
    """A guest's lease on the database that `connection.json` names; None while there is none that answers."""
    try:
        dsn = json.loads(files.connection.read_text())["dsn"]
        with psycopg.connect(dsn, connect_timeout=_CONNECT_S):
            return DatabaseLease(Database(dsn, owner=False))
    except (FileNotFoundError, ValueError, KeyError, psycopg.Error):  # not written yet, damaged, or not answering
        return None
