"""The operator's rules: an ordered list of conditions (CEL) and what each asks of a request that meets it.

The first rule that matches decides; with `continue: true` later rules may add to it. A rule file that is wrong in any
part is refused as a whole. Conditions read flat variables only (`VARIABLES`); CEL has no cost limit, so comprehensions
are refused and the length is bounded.
"""

from __future__ import annotations

import fnmatch
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from freerelay_core.errors import ConfigurationError
from freerelay_core.preference import RoutingPreference
from freerelay_core.profile import NEEDS, Depth, ProfileBatch, RequestProfile, TaskFamily

if TYPE_CHECKING:
    import cel

__all__ = [
    "NO_POLICY",
    "VARIABLES",
    "Directive",
    "Policy",
    "batch_directives",
    "load_policy",
    "matching",
    "read_policy",
    "rule_variables",
]

log = logging.getLogger(__name__)

VARIABLES = (
    "task",
    "depth",
    "latency_class",
    "contract",
    "precision",
    "topology",
    "tool_dependence",
    "determinism",
    "economics",
    "locked_down",
    "input_tokens",
    "output_tokens",
    "tools",
    "vision",
    "confidential",
    "stream",
    "hour",
    "tenant",
    "tier",
)
"""What a condition may read. `depth` is 0 (trivial) to 4 (expert), `hour` UTC, `tenant` the tenant's id."""

MAX_CONDITION = 2_000
_COMPREHENSION = re.compile(r"\.\s*(all|exists|exists_one|map|filter)\s*\(")
_LITERAL = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_CEL_ERRORS = (ValueError, RuntimeError, KeyError, TypeError, ZeroDivisionError)


@dataclass(frozen=True, slots=True)
class Directive:
    """What the matching rules ask of one request. Endpoints are named by patterns (`groq/*`, `*/llama-*`)."""

    rules: tuple[str, ...] = ()
    """Names of the rules that matched, in order."""
    prefer: tuple[str, ...] = ()
    policy_weight: float | None = None
    exclude: tuple[str, ...] = ()
    routing_preference: RoutingPreference | None = None
    """None leaves the level below in force."""
    preference_rule: str | None = None
    """The rule that named the preference."""


class _Rule(BaseModel):
    """One rule as the file states it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=64)
    when: str = Field("true", max_length=MAX_CONDITION)
    prefer: tuple[str, ...] = ()
    policy_weight: float | None = Field(None, gt=1, le=1000)
    exclude: tuple[str, ...] = ()
    routing_preference: RoutingPreference | None = None
    continue_: bool = Field(False, alias="continue")

    def added_to(self, directive: Directive) -> Directive:
        """The directive with this rule's wishes; what an earlier rule said stands."""
        named = directive.routing_preference is None and self.routing_preference is not None
        return replace(
            directive,
            rules=(*directive.rules, self.name),
            prefer=directive.prefer or self.prefer,
            policy_weight=directive.policy_weight or self.policy_weight,
            exclude=(*directive.exclude, *self.exclude),
            routing_preference=self.routing_preference if named else directive.routing_preference,
            preference_rule=self.name if named else directive.preference_rule,
        )


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: tuple[_Rule, ...] = ()


class Policy:
    """Ordered rules, compiled. `variables` are those that some condition reads."""

    def __init__(self, rules: Sequence[tuple[_Rule, cel.Program]] = ()) -> None:
        self._rules = tuple(rules)
        self.variables = tuple(name for name in VARIABLES if any(name in p.variables() for _, p in self._rules))
        self._failed: set[str] = set()

    def __len__(self) -> int:
        return len(self._rules)

    def directive(self, values: Mapping[str, Any]) -> Directive:
        """What the rules ask of a request with these `VARIABLES`. A condition that fails at run time does not match."""
        directive = _NO_DIRECTIVE
        if not self._rules:
            return directive
        from cel import Context  # noqa: PLC0415  (0.3 s, for its own command line: only where there are rules)

        context = Context(dict(values))
        for rule, program in self._rules:
            if not self._matches(rule, program, context):
                continue
            directive = rule.added_to(directive)
            if not rule.continue_:
                break
        return directive

    def _matches(self, rule: _Rule, program: cel.Program, context: cel.Context) -> bool:
        try:
            return program.execute(context) is True
        except _CEL_ERRORS as error:
            if rule.name not in self._failed:
                self._failed.add(rule.name)
                log.warning("rule %s failed and did not match: %s", rule.name, str(error)[:200])
            return False


_NO_DIRECTIVE = Directive()
NO_POLICY = Policy()


def rule_variables(profile: RequestProfile, *, tenant: str | None = None, tier: str | None = None) -> dict[str, Any]:
    """The `VARIABLES` of one request."""
    return {
        "task": profile.family.value,
        "depth": int(profile.depth),
        "latency_class": profile.latency_class.label,
        "contract": profile.contract.label,
        "precision": profile.precision.label,
        "topology": profile.topology.label,
        "tool_dependence": profile.tool_dependence.label,
        "determinism": profile.determinism.label,
        "economics": profile.economics.label,
        "locked_down": profile.locked_down,
        "input_tokens": profile.input_tokens,
        "output_tokens": profile.output_tokens,
        "tools": "tools" in profile.needs,
        "vision": "vision" in profile.needs,
        "confidential": "confidential" in profile.needs,
        "stream": profile.stream,
        "hour": profile.hour_utc,
        "tenant": tenant or "",
        "tier": tier or "",
    }


def batch_directives(
    policy: Policy, profiles: ProfileBatch, *, tenant: str | None = None, tier: str | None = None
) -> tuple[list[Directive], npt.NDArray[np.intp]]:
    """Directives of R requests: the distinct ones, and for each request the index of its own, shape (R,).

    Rules are evaluated once for each distinct combination of the variables that they read.
    """
    count = len(profiles)
    if not policy.variables:
        values = rule_variables(RequestProfile(), tenant=tenant, tier=tier)
        return [policy.directive(values)], np.zeros(count, dtype=np.intp)
    columns = _batch_variables(profiles)
    read = [columns[name] for name in policy.variables if name in columns]
    if not read:
        read = [np.zeros(count)]
    _, first, index = np.unique(np.stack(read), axis=1, return_index=True, return_inverse=True)
    directives = [
        policy.directive(rule_variables(profiles.profile(int(row)), tenant=tenant, tier=tier)) for row in first
    ]
    return directives, index.astype(np.intp)


def _batch_variables(profiles: ProfileBatch) -> dict[str, npt.NDArray[Any]]:
    """The variables that differ between the requests of a batch, as numbers that tell them apart; shape (R,)."""
    needs = dict(zip(NEEDS, profiles.needs, strict=True))
    return {
        "task": profiles.family,
        "depth": profiles.depth,
        "latency_class": profiles.latency_class,
        "contract": profiles.contract,
        "precision": profiles.precision,
        "topology": profiles.topology,
        "tool_dependence": profiles.tool_dependence,
        "determinism": profiles.determinism,
        "economics": profiles.economics,
        "locked_down": profiles.locked_down,
        "input_tokens": profiles.input_tokens,
        "output_tokens": profiles.output_tokens,
        "tools": needs["tools"],
        "vision": needs["vision"],
        "confidential": needs["confidential"],
        "hour": profiles.hour_utc,
    }


@lru_cache(maxsize=4096)
def matching(patterns: tuple[str, ...], endpoint_ids: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """Which endpoints any of the patterns names; shape (E,), read-only."""
    mask = np.array([any(fnmatch.fnmatchcase(name, p) for p in patterns) for name in endpoint_ids], dtype=np.bool_)
    mask.flags.writeable = False
    return mask


def load_policy(path: Path | None, endpoint_ids: Sequence[str]) -> Policy:
    """The rules of the operator's file; none where there is no file.

    Raises `ConfigurationError` naming the file, the rule and the reason; nothing of a wrong file is applied.
    """
    if path is None:
        return NO_POLICY
    try:
        content = yaml.load(path.read_text("utf-8"), Loader=yaml.CSafeLoader)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror}).", param="rules") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: is not YAML: {error}", param="rules") from error
    return read_policy(content or {}, endpoint_ids, source=str(path))


def read_policy(content: object, endpoint_ids: Sequence[str], *, source: str) -> Policy:
    """The rules in the content of a rules file: `{"rules": [...]}`. `source` names it in messages.

    Raises `ConfigurationError` as `load_policy` does.
    """
    try:
        file = _File.model_validate(content)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise ConfigurationError(f"{source}: {where}: {problem['msg']}", param=where) from None
    names = [rule.name for rule in file.rules]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(f"{source}: two rules are called {name!r}; names must differ.", param="name")
    return Policy([(rule, _compiled(source, rule, tuple(endpoint_ids))) for rule in file.rules])


def _compiled(source: str, rule: _Rule, endpoint_ids: tuple[str, ...]) -> cel.Program:
    import cel  # noqa: PLC0415  (as above)

    where = f"{source}: rule {rule.name!r}"
    if not (rule.prefer or rule.exclude or rule.routing_preference):
        raise ConfigurationError(f"{where}: asks for nothing; name prefer, exclude or routing_preference.")
    for pattern in (*rule.prefer, *rule.exclude):
        if not matching((pattern,), endpoint_ids).any():
            raise ConfigurationError(f"{where}: {pattern!r} matches no endpoint of the catalogue.")
    if _COMPREHENSION.search(_LITERAL.sub("''", rule.when)):
        raise ConfigurationError(f"{where}: `when` may not use all, exists, exists_one, map or filter.")
    try:
        program = cel.compile(rule.when)
        unknown = sorted(set(program.variables()) - set(VARIABLES))
        if unknown:
            raise ConfigurationError(f"{where}: unknown variable {unknown[0]!r}; known are {', '.join(VARIABLES)}.")
        for sample in _SAMPLES:
            result = program.execute(rule_variables(sample, tenant="example", tier="free"))
            if not isinstance(result, bool):
                raise ConfigurationError(f"{where}: `when` must be true or false, not {str(result)[:60]!r}.")
    except _CEL_ERRORS as error:
        raise ConfigurationError(f"{where}: {str(error)[:300]}") from None
    return program


_SAMPLES = (
    RequestProfile(),
    RequestProfile(
        family=TaskFamily.CODE, depth=Depth.EXPERT, input_tokens=50_000, output_tokens=4_000, needs=frozenset({"tools"})
    ),
)
