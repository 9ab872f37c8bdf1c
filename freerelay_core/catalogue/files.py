"""Catalogue files as they are read, and what is wrong with them: file, line, field, reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from freerelay_core.catalogue.shapes import TAGS, RawFile
from freerelay_core.errors import ConfigurationError
from freerelay_core.marked_yaml import MarkedContent, NotYaml, read_marked
from freerelay_core.plain_words import plain_reason

__all__ = ["CatalogueFile", "Problem", "read_file", "validated"]

Model = TypeVar("Model", bound=BaseModel)
FieldPath = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that cannot be right in a file."""

    file: Path
    line: int | None
    """Counted from 1; None where the file as a whole is meant."""
    field: str
    """Path of the field, its parts joined by dots; empty where the file as a whole is meant."""
    reason: str

    def __str__(self) -> str:
        """Read like a compiler's message, so that editors jump to the line."""
        where = str(self.file) if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.field}: {self.reason}" if self.field else f"{where}: {self.reason}"

    def as_error(self) -> ConfigurationError:
        """The problem as an error."""
        return ConfigurationError(str(self), param=self.field or "catalogue")


@dataclass(frozen=True, slots=True)
class CatalogueFile:
    """A file and what it says."""

    path: Path
    content: RawFile

    def problem(self, field: FieldPath, reason: str) -> Problem:
        """A problem with this field of the file."""
        return Problem(self.path, _line(self.path, field), ".".join(field), reason)


def read_file(path: Path, problems: list[Problem]) -> CatalogueFile | None:
    """The file, or None with the reasons added to `problems`."""
    try:
        content = read_marked(path.read_text("utf-8")).content
    except OSError as error:
        problems.append(Problem(path, None, "", f"cannot be read ({error.strerror})."))
        return None
    except UnicodeDecodeError as error:
        problems.append(Problem(path, None, "", f"is not UTF-8 text ({error.reason})."))
        return None
    except NotYaml as error:
        problems.append(Problem(path, error.line, "", error.reason))
        return None
    raw = validated(RawFile, content, path, (), problems)
    return None if raw is None else CatalogueFile(path, raw)


def validated(
    model: type[Model], content: object, path: Path, under: FieldPath, problems: list[Problem]
) -> Model | None:
    """`content` of the field `under` as `model`, or None with everything that is wrong added to `problems`."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        for each in error.errors(include_url=False, include_input=False):
            field = (*under, *(str(part) for part in each["loc"] if part not in TAGS))
            problems.append(Problem(path, _line(path, field), ".".join(field), plain_reason(each)))
        return None


def _line(path: Path, field: Sequence[str]) -> int | None:
    """The line of a field, or of the innermost part of its path that the file has."""
    return _marked(path, path.stat().st_mtime_ns).line(field)


@lru_cache(maxsize=4)
def _marked(path: Path, _changed: int) -> MarkedContent:
    """The file with its lines: read a second time, and only where something is wrong."""
    return read_marked(path.read_text("utf-8"))
