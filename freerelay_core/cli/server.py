"""The server process that `freerelay serve` starts: uvicorn on `app:app`, which stops when its parent is gone.

Standard input is a pipe whose other end only the parent holds, so it ends when the parent does, however that dies.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

import uvicorn

from freerelay_core.config import load_settings
from freerelay_core.logs import set_up_logs

__all__ = ["main"]

_LEFTOVERS_S = 2
"""How long uvicorn waits for connections that outlive the drain: browsers' sockets."""
_KEPT_S = 75
"""How long a connection may be idle between two requests: longer than clients (OpenAI's: 5 s) and balancers (60 s, by
and large) keep theirs, or one of their requests meets its end now and then."""


def main(host: str, port: int) -> None:
    """Serve until a signal comes or the parent has gone."""
    settings = load_settings()
    set_up_logs(settings.log, settings.log_level, access=settings.access_log)
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    uvicorn.run(
        "app:app",
        host=host,
        port=port,
        loop="uvloop",
        http="freerelay_core.api.connection:Connection",
        access_log=False,
        log_config=None,  # its lines go where ours go
        timeout_keep_alive=_KEPT_S,
        timeout_graceful_shutdown=_LEFTOVERS_S,
    )


def _stop_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
