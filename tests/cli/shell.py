"""Commands as a shell runs them, but in this process."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
from serving import environment

from freerelay_core.cli import main

__all__ = ["Ended", "freerelay", "in_a_process", "printed", "refused"]


@dataclass(frozen=True)
class Ended:
    """What a command left when it ended."""

    status: int
    stdout: str
    stderr: str


def freerelay(*arguments: object, home: Path | None = None, stdin: str = "", **settings: str) -> Ended:
    """Run a command as its entry point does, in this process: a new one spends its time on imports.

    Without a home it must not need one.
    """
    given = io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8")
    output, errors = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as process, redirect_stdout(output), redirect_stderr(errors):
        process.setattr(sys, "argv", ["freerelay", *map(str, arguments)])
        process.setattr(sys, "stdin", given)
        process.setattr(os, "environ", environment(home or Path("/proc/no-home"), **{"COLUMNS": "100", **settings}))
        with pytest.raises(SystemExit) as end:
            main()
    told = end.value.code if isinstance(end.value.code, str) else ""
    status = 1 if told else int(end.value.code or 0)
    out, err = (stream.buffer.getvalue().decode() for stream in (output, errors))
    return Ended(status, out, f"{err}{told}")


def in_a_process(*arguments: object, **settings: str) -> Ended:
    """Run a command that needs no home in a process of its own."""
    command = [sys.executable, "-m", "freerelay_core.cli", *map(str, arguments)]
    env = environment(Path("/proc/no-home"), **{"COLUMNS": "100", **settings})
    run = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    return Ended(run.returncode, run.stdout, run.stderr)


def printed(*arguments: object, **options: object) -> str:
    """What a command prints when it succeeds."""
    run = freerelay(*arguments, **options)
    assert run.status == 0, run.stderr
    return run.stdout


def refused(*arguments: object, **options: object) -> str:
    """The one line with which a command fails."""
    run = freerelay(*arguments, **options)
    assert (run.status, run.stdout) == (1, "")
    (line,) = run.stderr.splitlines()
    return line
