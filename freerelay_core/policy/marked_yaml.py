"""YAML whose values know their line in the text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from freerelay_core.errors import ConfigurationError

__all__ = ["MarkedContent", "read_marked"]


@dataclass(frozen=True, slots=True)
class MarkedContent:
    """The content of a YAML text. `root` is None where the content came from elsewhere: then no line is known."""

    content: object
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


def read_marked(text: str, *, source: str) -> MarkedContent:
    """The content of a YAML text. Raises `ConfigurationError` naming `source`, line and reason."""
    loader = yaml.CSafeLoader(text)
    try:
        root = loader.get_single_node()
        _refuse_repeated_keys(root, source)
        return MarkedContent({} if root is None else loader.construct_document(root), root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{source}:{mark.line + 1}" if mark is not None else source
        raise ConfigurationError(f"{where}: is not YAML: {error.problem}", param="rules") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{source}: is not YAML: {error}", param="rules") from None
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


def _refuse_repeated_keys(root: yaml.Node | None, source: str) -> None:
    """YAML readers keep the last of two equal keys, silently: half a rule would vanish."""
    for mapping in _mappings(root):
        seen: set[Any] = set()
        for key, _ in mapping.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                line = key.start_mark.line + 1
                raise ConfigurationError(f"{source}:{line}: {key.value!r} is stated twice.", param=key.value)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)


def _mappings(node: yaml.Node | None, above: frozenset[int] = frozenset()) -> Iterator[yaml.MappingNode]:
    if node is None or id(node) in above:  # an alias may stand for what it is in
        return
    above |= {id(node)}
    if isinstance(node, yaml.MappingNode):
        yield node
        for _, value in node.value:
            yield from _mappings(value, above)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _mappings(item, above)
