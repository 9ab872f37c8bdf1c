"""Catalogue files as they are read, and what is wrong with them: file, line, field, reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.constructor import ConstructorError

from freerelay_core.catalogue.shapes import TAGS, RawFile
from freerelay_core.errors import ConfigurationError

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


class _Loader(yaml.CSafeLoader):
    """YAML lets the last of two equal keys win without a word, and with it the field that somebody meant to set."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        """The mapping, refused where a key stands twice."""
        keys: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in keys:
                raise ConstructorError(None, None, f"{key.value!r} stands twice.", key.start_mark)
            keys.add(key.value)
        return super().construct_mapping(node, deep)


def read_file(path: Path, problems: list[Problem]) -> CatalogueFile | None:
    """The file, or None with the reasons added to `problems`."""
    try:
        content = yaml.load(path.read_text("utf-8"), Loader=_Loader)  # noqa: S506  (a safe loader)
    except OSError as error:
        problems.append(Problem(path, None, "", f"cannot be read ({error.strerror})."))
        return None
    except UnicodeDecodeError as error:
        problems.append(Problem(path, None, "", f"is not UTF-8 text ({error.reason})."))
        return None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error)
        problems.append(Problem(path, None if mark is None else mark.line + 1, "", f"is not YAML: {reason}"))
        return None
    raw = validated(RawFile, content or {}, path, (), problems)
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
            reason = each["msg"].removeprefix("Value error, ")
            problems.append(Problem(path, _line(path, field), ".".join(field), reason))
        return None


def _line(path: Path, field: Sequence[str]) -> int | None:
    """The line of a field, or of the innermost part of its path that the file has."""
    node = _nodes(path, path.stat().st_mtime_ns)
    line: int | None = None
    for part in field:
        if not isinstance(node, yaml.MappingNode):
            break
        found = next(((key, value) for key, value in node.value if key.value == part), None)
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line


@lru_cache(maxsize=4)
def _nodes(path: Path, _changed: int) -> Any:
    """The file as nodes that know their lines: read a second time, and only where something is wrong."""
    return yaml.compose(path.read_text("utf-8"), Loader=yaml.CSafeLoader)
