"""YAML whose values know their line in the text, and in which no key may stand twice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

__all__ = ["MarkedContent", "NotYaml", "read_marked"]


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


_ADVICE: Mapping[str, str] = {
    "',' or ']'": "a list that [ begins lacks a comma or its ].",
    "',' or '}'": "a mapping that { begins lacks a comma or its }.",
    "expected node content": "a value is missing, or a bracket is not closed.",
    "mapping values are not allowed": "a colon stands where none can; put a text that holds a colon in quotes.",
    "cannot start any token": "put a text that begins with @, % or ` in quotes, and indent with spaces, not tabs.",
    "alphabetic or numeric character": 'put a text that begins with * or & in quotes, as in "*/model".',
    "undefined alias": 'put a text that begins with * in quotes, as in "*/model".',
    "unexpected end of stream": "a quote is not closed.",
    "expected key": "it is indented otherwise than the lines that it belongs to.",
    "'-' indicator": "it is indented as an item of the list above, and does not begin with -.",
    "could not find expected ':'": "a colon is missing behind the name of a field.",
    "another document": "--- begins a second document, and there can be but one.",
}
"""What to write, by a part of the parser's words."""


def _plain(problem: str) -> str:
    """What the parser says, in words that help; its own where there are none better."""
    return next((advice for words, advice in _ADVICE.items() if words in problem), f"{problem}.")


def read_marked(text: str) -> MarkedContent:
    """The content of a YAML text, an empty mapping for one of comments alone. Raises `NotYaml`, for an empty one too:
    that is what a write that failed leaves.
    """
    if not text.strip():
        raise NotYaml(None, "is empty.")
    try:
        loader = yaml.CSafeLoader(text)
    except UnicodeError:
        raise NotYaml(None, "is not YAML: it holds half of a character.") from None
    try:
        root = loader.get_single_node()
        _refuse_repeated_keys(root)
        return MarkedContent({} if root is None else loader.construct_document(root), root)
    except yaml.MarkedYAMLError as error:
        mark, problem = error.problem_mark, _plain(error.problem or str(error))
        last = len(text.rstrip().splitlines())  # where the text breaks off the parser names the line behind it
        raise NotYaml(None if mark is None else min(mark.line + 1, last), f"is not YAML: {problem}") from None
    except (yaml.YAMLError, ValueError) as error:  # a date that is none is a ValueError
        raise NotYaml(None, f"is not YAML: {str(error).splitlines()[0]}.") from None
    finally:
        loader.dispose()


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
