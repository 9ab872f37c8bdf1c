"""Names and exponents of the preferences are written in `preference.py` alone: code, pages and documents follow it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from freerelay_core.preference import EXPONENTS, FACTORS, RoutingPreference

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "freerelay_core" / "preference.py"
SOURCES = [
    path
    for path in [ROOT / "app.py", *sorted(ROOT.glob("freerelay_core/**/*.py")), *sorted(ROOT.glob("pages/*.py"))]
    if path != TABLE
]
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("docs/examples/*"))]

# In code a name is a whole word of some text ("balanced" alone, or within a sentence or a template).
NAMES = re.compile(rf"(?<![\w-])({'|'.join(RoutingPreference)})(?![\w-])", re.IGNORECASE)
STATED = re.compile(
    r"exponents? (?!other than)[^.,;:{}]{0,30}?\b\d|\d(?:\.\d+)? (?:as )?(?:an |its |the )?exponent", re.IGNORECASE
)
"""A sentence that says how large an exponent is."""
CHOSEN = re.compile(r"(?:routing_preference\"?:|preference: \{value:|--preference)\s*[\"`]?([a-z][a-z-]+)")
"""Where a document or an example states one."""


def texts(tree: ast.AST) -> Iterator[str]:
    """Every string that a program uses; docstrings and the like stand by themselves and are used by nobody."""
    unused = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in unused:
            yield node.value


def numbers_by_factor(tree: ast.AST) -> Iterator[set[str]]:
    """The factors to which a literal mapping gives numbers."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            yield {
                key.value
                for key, value in pairs
                if isinstance(key, ast.Constant) and key.value in FACTORS and isinstance(value, ast.Constant)
                and isinstance(value.value, (int, float))
            }  # fmt: skip


def rows_of_numbers(tree: ast.AST) -> Iterator[list[float]]:
    """Literal sequences with a number for every factor."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Tuple | ast.List):
            numbers = [each.value for each in node.elts if isinstance(each, ast.Constant)]
            if len(numbers) == len(node.elts) == len(FACTORS) and all(type(n) in (int, float) for n in numbers):
                yield numbers


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_file_types_a_preferences_name_or_its_exponents(path):
    tree = ast.parse(path.read_text("utf-8"))
    assert [text for text in texts(tree) if NAMES.search(text)] == []
    assert [text for text in texts(tree) if STATED.search(text)] == []
    assert [factors for factors in numbers_by_factor(tree) if len(factors) > 1] == []
    assert list(rows_of_numbers(tree)) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_and_examples_name_preferences_that_exist_and_exponents_that_hold(path):
    text = path.read_text("utf-8")
    assert set(CHOSEN.findall(text)) <= set(RoutingPreference)
    for line in text.splitlines():
        cells = [cell.strip(" `*") for cell in line.strip("| ").split("|")]
        numbers = [float(cell) for cell in cells[1:] if re.fullmatch(r"\d+(\.\d+)?", cell)]
        if cells[0] in set(RoutingPreference) and numbers:
            assert sorted(numbers) == sorted(EXPONENTS[RoutingPreference(cells[0])].values())


def test_the_searches_find_what_they_are_for():
    typed = ast.parse('x = {"cost": 1.5, "quality": 0.5}\ny = f"{x} under balanced"\n"""balanced"""')
    assert list(numbers_by_factor(typed)) == [{"cost", "quality"}]
    assert [text for text in texts(typed) if NAMES.search(text)] == [" under balanced"]
    assert not NAMES.search("unbalanced")
    assert list(rows_of_numbers(ast.parse("x = (1, 1, 1, 0.5, 1.5, 1, 1, 1); y = (1, 2)"))) == [
        [1, 1, 1, 0.5, 1.5, 1, 1, 1]
    ]
    for stated in ("with exponent 1.5", "the exponents of cost and time are 1 and 0.5", "1.5 as its exponent"):
        assert STATED.search(stated), stated
    assert not STATED.search("the exponent of cost")
    stated = 'routing_preference: one-a, "routing_preference": "two-b", --preference three'
    assert CHOSEN.findall(stated) == ["one-a", "two-b", "three"]
