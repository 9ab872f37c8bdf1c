"""`freerelay policy`: tries a rules file on the examples in it, and prints the schema of such files."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import orjson
import typer

from freerelay_core.cli.configuration import Configuration, SnapshotChoice, load_configuration
from freerelay_core.cli.names import known_endpoint
from freerelay_core.clock import SystemClock, new_id
from freerelay_core.composition.wishes import Wishes, read_wishes
from freerelay_core.decision import Decision, decide
from freerelay_core.errors import ConfigurationError, InvalidRequest, NotFound
from freerelay_core.policy import Example, Facts, Policy, load_rule_file, policy_schema
from freerelay_core.profile import RequestProfile
from freerelay_core.scoring import Budget
from freerelay_core.snapshot import Snapshot

__all__ = ["policy"]

AN_EXAMPLE_FAILED, WRONG_FILE = 1, 2
"""Exit statuses."""

policy = typer.Typer(help="Try the operator's rules.", no_args_is_help=True)


@policy.command()
def schema() -> None:
    """Print the JSON schema of a rules file, for editors."""
    typer.echo(orjson.dumps(policy_schema(), option=orjson.OPT_INDENT_2))


@policy.command("test")
def try_rules(
    file: Annotated[
        Path, typer.Argument(help="The rules file; its examples are tried.", show_default=False, readable=False)
    ],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a rules file and try its examples: exit status 1 where one fails, 2 where the file is wrong."""
    configuration = load_configuration(rules=None)
    try:
        rules = load_rule_file(file, [endpoint.id for endpoint in configuration.catalogue.endpoints])
    except ConfigurationError as error:
        typer.echo(f"freerelay: {error.message}", err=True)
        raise typer.Exit(WRONG_FILE) from None
    snapshot = configuration.snapshot(SnapshotChoice.CATALOGUE, SystemClock())
    asked = [_asked(file, example, configuration) for example in rules.examples]
    trials = [
        _tried(example, *each, rules.policy, snapshot) for example, each in zip(rules.examples, asked, strict=True)
    ]
    if as_json:
        typer.echo(orjson.dumps([trial.as_dict() for trial in trials], option=orjson.OPT_INDENT_2))
    else:
        for trial in trials:
            typer.echo("\n".join(trial.lines()))
        failed = sum(bool(trial.problems) for trial in trials)
        typer.echo(f"{len(rules.policy)} rules, {len(trials)} examples, {failed} failed")
    if any(trial.problems for trial in trials):
        raise typer.Exit(AN_EXAMPLE_FAILED)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What became of one rule."""

    rule: str
    when: str
    holds: bool
    fired: bool
    read: dict[str, Any]
    """The variables that its condition reads, with their values."""

    def line(self) -> str:
        word = "fires" if self.fired else "holds, but an earlier rule decides" if self.holds else "does not hold"
        values = ", ".join(f"{name} = {orjson.dumps(value).decode()}" for name, value in self.read.items())
        return f"      {self.rule}: {word}; {self.when}" + (f"   [{values}]" if values else "")


@dataclass(frozen=True, slots=True)
class _Trial:
    """An example that was tried."""

    example: Example
    decision: Decision
    verdicts: tuple[_Verdict, ...]
    problems: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        yield f"{'FAIL' if self.problems else 'ok  '}  {self.example.name}"
        yield from (verdict.line() for verdict in self.verdicts)
        first = self.decision.endpoints[0] if self.decision.order else "nobody can serve it"
        yield f"      -> {self.decision.preference}; {first}; {len(self.decision.excluded)} excluded"
        yield from (f"      expected {problem}" for problem in self.problems)

    def as_dict(self) -> dict[str, Any]:
        decision = self.decision
        return {
            "name": self.example.name,
            "passed": not self.problems,
            "problems": list(self.problems),
            "rules": [
                {"rule": v.rule, "when": v.when, "holds": v.holds, "fired": v.fired, "read": v.read}
                for v in self.verdicts
            ],
            "preference": decision.preference.as_dict(),
            "actions": decision.directive.actions(decision.dropped),
            "endpoint": decision.endpoints[0] if decision.order else None,
            "excluded": [row.as_dict() for row in decision.excluded],
        }


def _asked(file: Path, example: Example, configuration: Configuration) -> tuple[Wishes, RequestProfile]:
    """What the request of an example says of routing, and its profile. Ends with `WRONG_FILE` what cannot be meant."""
    try:
        wishes = read_wishes(example.request or {})
        if wishes.endpoint is not None:
            known_endpoint(configuration.catalogue, wishes.endpoint, of_request=True)
        return wishes, example.request_profile(task=wishes.task, depth=wishes.depth)
    except (InvalidRequest, NotFound) as error:
        typer.echo(f"freerelay: {file}: example {example.name!r}: request: {error.message}", err=True)
        raise typer.Exit(WRONG_FILE) from None


def _tried(example: Example, wishes: Wishes, profile: RequestProfile, rules: Policy, snapshot: Snapshot) -> _Trial:
    tenant = example.tenant
    counts = np.ones(len(snapshot), dtype=np.bool_)
    budget = Budget(math.inf, example.budget_left, counts) if example.budget_left < 1 else None
    decision = decide(
        snapshot,
        profile,
        decision_id=new_id(SystemClock()),
        policy=rules,
        tenant_preference=tenant.preference,
        request_preference=wishes.preference,
        tenant_id=tenant.id,
        tier=tenant.tier,
        only=wishes.endpoint,
        conditions=example.conditions(),
        budget=budget,
    )
    facts = Facts(profile, tenant.id, tenant.tier, tenant.preference, example.conditions(), example.budget_left)
    fired = decision.directive.rules
    verdicts = tuple(
        _Verdict(rule.name, rule.when, holds, rule.name in fired, read) for rule, holds, read in rules.verdicts(facts)
    )
    return _Trial(example, decision, verdicts, tuple(_problems(example, decision)))


def _problems(example: Example, decision: Decision) -> Iterator[str]:
    """What was expected, and what came instead."""
    expected, directive, preference = example.expect, decision.directive, decision.preference
    yield from _different("rules", expected.rules, directive.rules)
    yield from _different("preference", expected.preference, preference.value)
    yield from _different("level", expected.level, preference.level)
    yield from _different("dropped", expected.dropped, tuple(r.action for r in decision.dropped))
    if expected.refused != (not decision.order):
        yield f"refused {expected.refused}, got {not decision.order}"
    first = decision.endpoints[0] if decision.order else None
    if expected.endpoint is not None and (first is None or not fnmatchcase(first, expected.endpoint)):
        yield f"endpoint {expected.endpoint}, got {first}"
    for pattern in expected.prefer:
        if pattern not in directive.prefer:
            yield f"prefer {pattern}, got {list(directive.prefer)}"
    for pattern in expected.excluded:
        ranked = [name for name in decision.endpoints if fnmatchcase(name, pattern)]
        if ranked:
            yield f"excluded {pattern}, but {ranked[0]} is ranked"


def _different(name: str, expected: object, found: object) -> Iterator[str]:
    if expected is not None and expected != found:
        yield f"{name} {_shown(expected)}, got {_shown(found)}"


def _shown(value: object) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)
