"""Conditions in CEL (Common Expression Language), compiled once and checked when they are read.

The evaluator has no cost limit and holds the interpreter's lock, so nothing that can run long gets in: the length is
bounded, comprehensions are refused, and only listed functions may be called. It checks no types before it runs, so
every condition is run on sample requests first.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import cycle
from types import ModuleType
from typing import TYPE_CHECKING, Any

from freerelay_core.policy.condition_words import failure_words, syntax_words, unknown_variable_words
from freerelay_core.policy.variables import VARIABLES, Conditions, Facts
from freerelay_core.preference import RoutingPreference
from freerelay_core.profile import NEEDS, Depth, LatencyClass, OutputContract, RequestProfile, TaskFamily

if TYPE_CHECKING:
    import cel

__all__ = ["FAILURES", "FUNCTIONS", "MAX_CONDITION", "Condition", "Contexts", "PolicyError", "context_of"]

MAX_CONDITION = 2_000
"""Characters; a rule with more is refused before its condition is read."""

FUNCTIONS = ("size", "startsWith", "endsWith", "contains", "matches", "int", "double", "string")
"""What a condition may call. The evaluator has no min and max; `a < b ? a : b` does the same."""

_OPERATORS = frozenset(
    {"_&&_", "_||_", "!_", "_?_:_", "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "@in"}
    | {"_+_", "_-_", "_*_", "_/_", "_%_", "-_", "_[_]"}
)
"""As the parser names them."""
_COMPREHENSION = re.compile(r"\.\s*(all|exists|exists_one|map|filter)\s*\(")
_LITERAL_OR_COMMENT = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|//[^\n]*")
FAILURES = (ValueError, RuntimeError, LookupError, TypeError, ArithmeticError)
"""What the evaluator raises."""


class PolicyError(Exception):
    """A condition that cannot be read, or that failed on a request. The message says why."""


class Condition:
    """A condition, ready to be asked. Raises `PolicyError` where it cannot be meant."""

    __slots__ = ("_program", "ask", "source", "variables")

    def __init__(self, source: str) -> None:
        if _COMPREHENSION.search(_LITERAL_OR_COMMENT.sub("''", source)):
            raise PolicyError("`when` may not use all, exists, exists_one, map or filter")
        self.source = source
        try:
            self._program: cel.Program = _cel().compile(source)
        except FAILURES as error:
            raise PolicyError(syntax_words(source, str(error))) from None
        self.ask: Callable[[cel.Context], object] = self._program.execute
        """What it comes to, without the checks of `holds`; raises one of `FAILURES`."""
        self.variables = frozenset(self._program.variables())
        self._check_names()
        self._try_out()

    def holds(self, context: cel.Context) -> bool:
        """Whether it is true. Raises `PolicyError` where it fails or is neither true nor false."""
        try:
            result = self._program.execute(context)
        except FAILURES as error:
            raise PolicyError(failure_words(self.source, str(error))) from None
        if result is True or result is False:
            return result
        raise PolicyError(
            f"`when` must be true or false, not {str(result)[:60]!r}; compare it with something, as in hour < 6"
        )

    def _check_names(self) -> None:
        for name in sorted(self.variables - VARIABLES.keys()):
            raise PolicyError(unknown_variable_words(name, list(VARIABLES)))
        for name in sorted(set(self._program.functions()) - _OPERATORS - set(FUNCTIONS)):
            raise PolicyError(f"`when` may not call {name!r}; allowed are {', '.join(FUNCTIONS)}")

    def _try_out(self) -> None:
        for context in _samples():
            self.holds(context)


def context_of(values: Mapping[str, Any]) -> cel.Context:
    """Values of variables, as conditions take them."""
    context: cel.Context = _cel().Context(dict(values))
    return context


@cache
def _cel() -> ModuleType:
    """The evaluator, loaded where there are rules and without its command line, which nobody asks for here.

    That would come with it, and with 250 modules for the terminal: 11 MB of memory, and 0.2 s.
    """
    sys.modules.setdefault("cel.cli", ModuleType("cel.cli"))
    import cel  # noqa: PLC0415

    return cel


class Contexts:
    """Contexts over the same variables, one a thread at a time. To change a value costs less than a new context."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._spare: list[tuple[cel.Context, tuple[Any, ...]]] = []

    def take(self, values: tuple[Any, ...]) -> cel.Context:
        """A context with these values; `give` it back afterwards."""
        try:
            context, held = self._spare.pop()
        except IndexError:
            return context_of(dict(zip(self._names, values, strict=True)))
        for name, old, new in zip(self._names, held, values, strict=True):
            if old != new:
                context.add_variable(name, new)
        return context

    def give(self, context: cel.Context, values: tuple[Any, ...]) -> None:
        """Keep a context with the values that it holds for the next."""
        self._spare.append((context, values))


@cache
def _samples() -> tuple[cel.Context, ...]:
    """Typed requests that reach most branches of a condition: every family at every depth, the rest in turn."""
    contracts, classes, hours = cycle(OutputContract), cycle(LatencyClass), cycle(range(24))
    tiers, preferences, weekdays = (
        cycle(("free", "bronze", "silver", "gold")),
        cycle(RoutingPreference),
        cycle(range(1, 8)),
    )
    samples = [
        Facts(
            RequestProfile(
                family=family,
                depth=depth,
                latency_class=next(classes),
                contract=next(contracts),
                input_tokens=10 ** (number % 6),
                output_tokens=10 ** (number % 5),
                needs=frozenset(NEEDS) if number % 2 else frozenset(),
                stream=number % 3 == 0,
                hour_utc=next(hours),
            ),
            tenant="example",
            tier=next(tiers),
            preference=next(preferences),
            conditions=Conditions(
                healthy_share=number % 5 / 4,
                failing_providers=("example",) if number % 2 else (),
                schema_success=number % 3 / 2,
                weekday=next(weekdays),
            ),
            budget_left=number % 5 / 4,
        )
        for number, (family, depth) in enumerate((family, depth) for family in TaskFamily for depth in Depth)
    ]
    return tuple(context_of({name: v.value(facts) for name, v in VARIABLES.items()}) for facts in samples)
