"""Makes the texts in tests/data/structured-texts.yaml: what machines write into prompts, with exact counts of tokens.

    python benchmarks/structured_texts.py

The same records are written as JSON of several indentations, YAML, CSV, tables, logs, markup, statements and scripts.
`fit` tells of a shop's orders, `held-out` of vehicles and of patients, with other fields, other words and other
nesting, so that what was fitted to the one is tried on the others. Needs `tiktoken` and the vocabulary o200k: set
TIKTOKEN_CACHE_DIR to a folder that holds it.
"""

from __future__ import annotations

import base64
import difflib
import html
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tiktoken
import yaml

from benchmarks.structured_worlds import PATIENTS, SHOP, VEHICLES, Dice, World

FILE = Path(__file__).parents[1] / "tests" / "data" / "structured-texts.yaml"
HEAD = """\
# Made by benchmarks/structured_texts.py, whose functions `made` names; `tokens` is the exact number in the
# vocabulary o200k. Weights are fitted to `fit` only; `held-out` has other fields, words and nesting.
"""


def _filled(part: Callable[[], str], size: int, between: str = "\n") -> str:
    """So many parts that they have `size` characters."""
    parts = [part()]
    while sum(map(len, parts)) < size:
        parts.append(part())
    return between.join(parts)


def _records(world: World, dice: Dice, size: int) -> list[dict[str, Any]]:
    records = [world.record(dice)]
    while len(json.dumps(records)) < size:
        records.append(world.record(dice))
    return records


def json_indent_2(world: World, dice: Dice, size: int) -> str:
    return json.dumps(_records(world, dice, size // 2), indent=2, ensure_ascii=False)


def json_indent_4(world: World, dice: Dice, size: int) -> str:
    return json.dumps(_records(world, dice, size // 2), indent=4, ensure_ascii=False)


def json_deep(world: World, dice: Dice, size: int) -> str:
    """Seven levels further in."""
    inner: Any = _records(world, dice, size // 4)
    for key in ("results", "page", "data", "response", "body", "payload", "message"):
        inner = {key: inner, "ok": True}
    return json.dumps(inner, indent=2, ensure_ascii=False)


def json_tabs(world: World, dice: Dice, size: int) -> str:
    return json.dumps(_records(world, dice, size // 2), indent="\t", ensure_ascii=False)


def json_one_line(world: World, dice: Dice, size: int) -> str:
    return json.dumps(_records(world, dice, size))


def json_compact(world: World, dice: Dice, size: int) -> str:
    return json.dumps(_records(world, dice, size), separators=(",", ":"), ensure_ascii=False)


def yaml_block(world: World, dice: Dice, size: int) -> str:
    return str(yaml.safe_dump(_records(world, dice, size), sort_keys=False, allow_unicode=True))


def _rows(world: World, dice: Dice, size: int, line: Callable[[Sequence[Any]], str]) -> str:
    head = line(list(world.row(dice)))
    return f"{head}\n{_filled(lambda: line(list(world.row(dice).values())), size)}"


def csv(world: World, dice: Dice, size: int) -> str:
    return _rows(
        world, dice, size, lambda cells: ",".join(f'"{cell}"' if "," in str(cell) else str(cell) for cell in cells)
    )


def markdown_table(world: World, dice: Dice, size: int) -> str:
    """Aligned, as editors leave it."""
    lines = _rows(world, dice, size // 2, lambda cells: "\t".join(map(str, cells)))
    cells = [line.split("\t") for line in lines.split("\n")]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rows = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([rows[0], rule, *rows[1:]])


def logs(world: World, dice: Dice, size: int) -> str:
    return _filled(lambda: world.log(dice), size)


def base64_lines(_: World, dice: Dice, size: int) -> str:
    return base64.encodebytes(dice.octets(size * 3 // 4)).decode()


def uuids(_: World, dice: Dice, size: int) -> str:
    return _filled(dice.uuid, size)


def html_page(world: World, dice: Dice, size: int) -> str:
    return _filled(lambda: world.markup(dice), size)


def xml(world: World, dice: Dice, size: int) -> str:
    return "\n".join(
        ['<?xml version="1.0" encoding="UTF-8"?>', *_elements("record", _records(world, dice, size // 2), 0)]
    )


def _elements(name: str, value: Any, depth: int) -> list[str]:
    pad = "  " * depth
    if isinstance(value, list):
        return [line for each in value for line in _elements(name, each, depth)]
    if isinstance(value, Mapping):
        inner = [line for key, each in value.items() for line in _elements(key, each, depth + 1)]
        return [f"{pad}<{name}>", *inner, f"{pad}</{name}>"]
    return [f"{pad}<{name}>{html.escape(str(value))}</{name}>"]


def sql(world: World, dice: Dice, size: int) -> str:
    return _filled(lambda: world.sql(dice), size, "\n\n")


def diff(world: World, dice: Dice, size: int) -> str:
    """What `git diff` prints."""
    old = _filled(lambda: world.source(dice), size // 2).split("\n")
    new = [line.replace("item", "entry").replace("from", "start") if dice.below(2) else line for line in old]
    lines = difflib.unified_diff(old, new, f"a/{world.table}.src", f"b/{world.table}.src", lineterm="")
    return "\n".join([f"index {dice.octets(4).hex()[:7]}..{dice.octets(4).hex()[:7]} 100644", *lines])


def minified_script(world: World, dice: Dice, size: int) -> str:
    return _filled(lambda: world.script(dice), size, "")


WRITERS: Mapping[str, Callable[[World, Dice, int], str]] = {
    "JSON, indented by 2": json_indent_2,
    "JSON, indented by 4": json_indent_4,
    "JSON, deep": json_deep,
    "JSON, tabs": json_tabs,
    "JSON, one line": json_one_line,
    "JSON, compact": json_compact,
    "YAML": yaml_block,
    "CSV": csv,
    "Markdown table": markdown_table,
    "Logs": logs,
    "Base64, lines": base64_lines,
    "UUIDs": uuids,
    "HTML": html_page,
    "XML": xml,
    "SQL": sql,
    "Diff": diff,
    "Minified script": minified_script,
}
PARTS: Sequence[tuple[str, str, World, int]] = (
    ("fit", "SHOP", SHOP, 1_600),
    ("held-out", "VEHICLES", VEHICLES, 400),
    ("held-out", "VEHICLES", VEHICLES, 1_600),
    ("held-out", "PATIENTS", PATIENTS, 800),
)
"""Part, origin by name, origin, and about how many characters; each is written in every way, with its own dice."""


class _Block(str):
    """A text that YAML shows line by line where it can."""

    __slots__ = ()


def main() -> None:
    """Write the file."""
    yaml.SafeDumper.add_representer(
        _Block, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, "|")
    )
    entries = yaml.safe_dump(list(_entries()), sort_keys=False, allow_unicode=True, width=1_000_000)
    FILE.write_text(HEAD + entries, "utf-8")


def _entries() -> Iterator[dict[str, Any]]:
    vocabulary = tiktoken.get_encoding("o200k_base")
    for kind, write in WRITERS.items():
        for seed, (part, origin, world, size) in enumerate(PARTS):
            text = write(world, Dice(seed), size)
            yield {
                "kind": kind,
                "part": part,
                "made": f"{write.__name__}({origin}, Dice({seed}), {size})",
                "tokens": len(vocabulary.encode(text, disallowed_special=())),
                "text": _Block(text),
            }


if __name__ == "__main__":
    main()
