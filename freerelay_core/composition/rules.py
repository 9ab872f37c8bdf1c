"""The rules in force: read at the start, and again whenever the operator's file changes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from freerelay_core.errors import ConfigurationError
from freerelay_core.policy import Policy, load_policy

__all__ = ["RulesInForce"]

log = logging.getLogger(__name__)


class RulesInForce:
    """The policy of the file at `path`; none where there is no file. Raises `ConfigurationError` for a wrong one."""

    def __init__(self, path: Path | None, endpoint_ids: Sequence[str]) -> None:
        self._path = path
        self._endpoint_ids = tuple(endpoint_ids)
        self._read = self._last_seen = self._version()
        self.policy: Policy = load_policy(path, self._endpoint_ids)

    def renew(self) -> bool:
        """Look at the file, and read it where it has changed; true when other rules are in force now.

        A file is read when two looks in a row find it alike: one that is just being written may be half there. A wrong
        file changes nothing: the rules in force stay, and the log says why.
        """
        version, before = self._version(), self._last_seen
        self._last_seen = version
        if version is None or version == self._read or version != before:
            return False
        self._read = version
        try:
            self.policy = load_policy(self._path, self._endpoint_ids)
        except ConfigurationError as error:
            log.error("the changed rules are refused, the old ones stay in force: %s", error.message)  # noqa: TRY400
            return False
        log.info("the rules have changed: %d are in force", len(self.policy))
        return True

    def _version(self) -> tuple[int, int, int] | None:
        """What tells one state of the file from another; None where it cannot be seen."""
        if self._path is None:
            return None
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino
