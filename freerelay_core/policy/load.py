"""Reads a rules file. What is wrong in any part is refused as a whole, naming file, line and reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import Field, ValidationError

from freerelay_core.errors import ConfigurationError, UnprocessableRequest
from freerelay_core.marked_yaml import MarkedContent, NotYaml, read_marked
from freerelay_core.plain_words import plain_reason
from freerelay_core.policy.condition import Condition, PolicyError
from freerelay_core.policy.directive import matching, unmatched
from freerelay_core.policy.example import Example
from freerelay_core.policy.policy import NO_POLICY, Policy
from freerelay_core.policy.rule import Rule, StrictModel

__all__ = ["RuleFile", "load_policy", "load_rule_file", "policy_schema", "read_policy"]

_Path: TypeAlias = tuple[str | int, ...]


class _Content(StrictModel):
    """An operator's rules for FreeRelay, and examples of what they are to do."""

    rules: tuple[Rule, ...] = Field((), description="First match wins.")
    examples: tuple[Example, ...] = Field((), description="Requests that `freerelay policy test` tries the rules on.")


@dataclass(frozen=True, slots=True)
class RuleFile:
    """What a rules file holds, checked."""

    policy: Policy
    examples: tuple[Example, ...] = ()


def load_policy(path: Path | None, endpoint_ids: Sequence[str]) -> Policy:
    """The rules of the operator's file; none where there is no file. Raises as `load_rule_file` does."""
    return NO_POLICY if path is None else load_rule_file(path, endpoint_ids).policy


def load_rule_file(path: Path, endpoint_ids: Sequence[str]) -> RuleFile:
    """The rules and examples of a file.

    Raises `ConfigurationError` naming file, line and reason; nothing of a wrong file is applied.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror}).", param="rules") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not YAML: {error}", param="rules") from error
    try:
        marked = read_marked(text)
    except NotYaml as error:
        where = str(path) if error.line is None else f"{path}:{error.line}"
        raise ConfigurationError(f"{where}: {error.reason}", param="rules") from None
    return _checked(marked, tuple(endpoint_ids), str(path))


def read_policy(content: object, endpoint_ids: Sequence[str], *, source: str) -> Policy:
    """The rules in the content of a rules file: `{"rules": [...]}`. `source` names it in messages.

    Raises `ConfigurationError` naming the rule and the reason.
    """
    return _checked(MarkedContent(content), tuple(endpoint_ids), source).policy


def policy_schema() -> Mapping[str, Any]:
    """The JSON schema of a rules file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_Content.model_json_schema(by_alias=True),
        "title": "FreeRelay rules",
    }


def _checked(marked: MarkedContent, endpoint_ids: tuple[str, ...], source: str) -> RuleFile:
    try:
        content = _Content.model_validate(marked.content)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        path = tuple(problem["loc"])
        raise _wrong(marked, source, path, plain_reason(problem, _known(path))) from None
    checker = _Checker(marked, source, endpoint_ids)
    checker.refuse_namesakes(content)
    rules = [(rule, checker.condition(number, rule)) for number, rule in enumerate(content.rules)]
    for number, example in enumerate(content.examples):
        checker.check_example(number, example, content.rules)
    return RuleFile(Policy(rules), content.examples)


@dataclass(frozen=True, slots=True)
class _Checker:
    """What the model alone cannot tell."""

    marked: MarkedContent
    source: str
    endpoint_ids: tuple[str, ...]

    def refuse_namesakes(self, content: _Content) -> None:
        named: dict[str, Sequence[Rule | Example]] = {"rules": content.rules, "examples": content.examples}
        for kind, items in named.items():
            seen: set[str] = set()
            for number, item in enumerate(items):
                if item.name in seen:
                    raise self.wrong((kind, number, "name"), f"two {kind} have this name; names must differ.")
                seen.add(item.name)

    def condition(self, number: int, rule: Rule) -> Condition:
        """The condition of a rule whose endpoints are known."""
        self.refuse_unknown_endpoints(("rules", number), rule.patterns)
        try:
            return Condition(rule.when)
        except PolicyError as error:
            raise self.wrong(("rules", number, "when"), f"{error}.") from None

    def check_example(self, number: int, example: Example, rules: Sequence[Rule]) -> None:
        where = ("examples", number, "expect")
        try:
            example.request_profile()
        except UnprocessableRequest as error:
            kind = "profile" if example.request is None else "request"
            raise self.wrong(("examples", number, kind), error.message) from None
        self.refuse_unknown_endpoints(where, example.expect.patterns)
        for place, name in enumerate(example.expect.rules or ()):
            if name not in {rule.name for rule in rules}:
                raise self.wrong((*where, "rules", place), f"there is no rule {name!r}.")

    def refuse_unknown_endpoints(self, path: _Path, patterns: Mapping[str, tuple[str, ...]]) -> None:
        for action, named in patterns.items():
            for place, pattern in enumerate(named):
                if not matching((pattern,), self.endpoint_ids).any():
                    raise self.wrong((*path, action, place), unmatched(pattern, self.endpoint_ids))

    def wrong(self, path: _Path, reason: str) -> ConfigurationError:
        return _wrong(self.marked, self.source, path, reason)


def _wrong(marked: MarkedContent, source: str, path: _Path, reason: str) -> ConfigurationError:
    """The error for what stands at `path`: its line, the rule by name, the field, and the reason."""
    line = marked.line(path)
    where = source if line is None else f"{source}:{line}"
    return ConfigurationError(f"{where}: {_place(marked.content, path)}{reason}", param=".".join(map(str, path)))


def _place(content: Any, path: _Path) -> str:
    if len(path) < 2:
        return f"{path[0]}: " if path else ""
    kind, number, *field = path
    item = content[kind][number]
    name = item.get("name") if isinstance(item, dict) else None
    who = f"{str(kind).removesuffix('s')} {name!r}" if isinstance(name, str) else f"{kind}.{number}"
    return f"{who}: {'.'.join(map(str, field))}: " if field else f"{who}: "


def _known(path: _Path) -> list[str]:
    """The fields that may stand where the last step of `path` does, as far as they are few enough to be told."""
    models = {1: _Content, 3: Rule if path[0] == "rules" else Example} if path else {}
    model = models.get(len(path))
    return [] if model is None else [field.alias or name for name, field in model.model_fields.items()]
