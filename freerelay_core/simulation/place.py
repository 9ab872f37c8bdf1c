"""Where something stands in a scenario, for what is said when it is wrong."""

from __future__ import annotations

from dataclasses import dataclass

from freerelay_core.errors import UnprocessableRequest
from freerelay_core.marked_yaml import MarkedContent

__all__ = ["Place"]


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a scenario. Its errors are worded as those of a rules file: source, line, change, field, reason."""

    source: str
    marked: MarkedContent
    path: tuple[str | int, ...] = ()

    def wrong(self, reason: str, *more: str | int, named: bool = True) -> UnprocessableRequest:
        """The error for what stands `more` below this place; not `named` where the reason itself says so."""
        path = (*self.path, *more)
        line = self.marked.line(path)
        where = self.source if line is None else f"{self.source}:{line}"
        words = self._words(path if named else path[:2])
        return UnprocessableRequest(f"{where}: {words}{reason}", param=".".join(map(str, path)) or "scenario")

    @staticmethod
    def _words(path: tuple[str | int, ...]) -> str:
        change, field = "", path
        if len(path) > 1:
            change, field = f"change {int(path[1]) + 1}: ", path[2:]
        return change + (f"{'.'.join(map(str, field))}: " if field else "")
