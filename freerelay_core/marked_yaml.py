"""YAML whose values know their line in the text, and in which no key may stand twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

__all__ = ["MarkedContent", "NotYaml", "plain_reason", "read_marked"]

_NO_MAPPING = {"dict_type", "model_type", "model_attributes_type"}
"""What pydantic calls it, with names of classes in its message."""


class NotYaml(Exception):
    """The text cannot be meant. `line` counts from 1; None where the text as a whole is wrong."""

    def __init__(self, line: int | None, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


@dataclass(frozen=True, slots=True)
class MarkedContent:
    """The content of a YAML text. `root` is None where the content came from elsewhere: then no line is known."""

    content: Any
    root: yaml.Node | None = None

    def line(self, path: Sequence[str | int]) -> int | None:
        """The line, from 1 on, of what stands at `path` (keys and positions), or of the nearest thing around it."""
        node = self.root
        if node is None:
            return None
        line = node.start_mark.line
        for step in path:
            found = _child(node, step)
            if found is None:
                break
            key, node = found
            line = key.start_mark.line
        return line + 1


def read_marked(text: str) -> MarkedContent:
    """The content of a YAML text, an empty mapping for one of comments alone. Raises `NotYaml`, for an empty one too:
    that is what a write that failed leaves.
    """
    if not text.strip():
        raise NotYaml(None, "is empty.")
    loader = yaml.CSafeLoader(text)
    try:
        root = loader.get_single_node()
        _refuse_repeated_keys(root)
        return MarkedContent({} if root is None else loader.construct_document(root), root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise NotYaml(None if mark is None else mark.line + 1, f"is not YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:  # 2026-13-45 is a date by its looks, and none by its month
        raise NotYaml(None, f"is not YAML: {str(error).splitlines()[0]}") from None
    finally:
        loader.dispose()


def plain_reason(problem: Mapping[str, Any]) -> str:
    """What is wrong in an error of pydantic's, without the library's own words."""
    if problem["type"] == "extra_forbidden":
        return "there is no field of that name"
    if problem["type"] in _NO_MAPPING:
        return "must be a mapping of names to values"
    if problem["type"] in {"list_type", "tuple_type"}:
        return "must be a list"
    return str(problem["msg"]).removeprefix("Value error, ")


def _child(node: yaml.Node, step: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """The node that stands for a step, and the node below it."""
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == step), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        item = node.value[step]
        return item, item
    return None


def _refuse_repeated_keys(root: yaml.Node | None) -> None:
    """YAML readers keep the last of two equal keys, silently, and with it lose what somebody meant to set."""
    for mapping in _mappings(root, set()):
        keys: set[str] = set()
        for key in (key for key, _ in mapping.value if isinstance(key, yaml.ScalarNode)):
            if key.value in keys:
                raise NotYaml(key.start_mark.line + 1, f"{key.value!r} is stated twice.")
            keys.add(key.value)


def _mappings(node: yaml.Node | None, seen: set[int]) -> Iterator[yaml.MappingNode]:
    if node is None or id(node) in seen:  # an alias stands for what was looked at, or for what it is in
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        yield node
        for _, value in node.value:
            yield from _mappings(value, seen)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _mappings(item, seen)
