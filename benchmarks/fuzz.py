"""Schemathesis sends what the OpenAPI document allows and what it forbids; every answer must be one that it foresees.

    python benchmarks/fuzz.py --schemathesis .venv-fuzz/bin/schemathesis [--examples 100] [--seed 1] [--json]

Once with a tenant's key and once with the operator's, against a server of our own. Looked for are answers of 500 and
above, and statuses, content types, headers and bodies that are not in the document.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.own_server import own_server

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "ignored_auth", "unsupported_method", "negative_data_rejection",
)  # fmt: skip
"""That all sound requests are accepted is not looked for: what a field may hold beside which other one, and which
tenant may do what, no schema says."""


def main() -> None:
    """Fuzz with both keys; exit status 1 where something was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--schemathesis", type=Path, required=True, help="the command; `make fuzz` installs it")
    parser.add_argument("--examples", type=int, default=100, help="random requests of each operation and kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one array of {name, value, unit, aim, met}")
    arguments = parser.parse_args()
    figures: list[dict[str, object]] = []
    with own_server(FREERELAY_FAILED_KEYS_PER_MINUTE="1000000") as server:
        for who, key in (("tenant", server.demo_key), ("operator", server.operator_key)):
            began = time.perf_counter()
            sound = _is_sound(arguments, server.port, key)
            figures.append({"name": f"fuzz_{who}_clean", "value": int(sound), "unit": "", "aim": 1, "met": sound})
            seconds = round(time.perf_counter() - began, 1)
            figures.append({"name": f"fuzz_{who}_seconds", "value": seconds, "unit": "s", "aim": None, "met": None})
    if arguments.json:
        print(json.dumps(figures))
    if any(figure["met"] is False for figure in figures):
        sys.exit(1)


def _is_sound(arguments: argparse.Namespace, port: int, key: str) -> bool:
    """Whether nothing was found; what was is printed to standard error."""
    options = {
        "--header": f"Authorization: Bearer {key}",
        "--checks": ",".join(CHECKS),
        "--max-examples": arguments.examples,
        "--seed": arguments.seed,
        "--generation-database": "none",
        "--warnings": "off",
        "--suppress-health-check": "filter_too_much",  # most random texts are no part of a path
    }
    pairs = [str(part) for pair in options.items() for part in pair]
    command = [
        str(arguments.schemathesis.absolute()),  # it runs in a folder of its own
        "run",
        f"http://127.0.0.1:{port}/openapi.json",
        *pairs,
        "--continue-on-failure",
    ]
    with tempfile.TemporaryDirectory(prefix="freerelay-fuzz-") as folder:  # it keeps what it finds where it runs
        return subprocess.run(command, cwd=folder, stdout=sys.stderr, check=False).returncode == 0


if __name__ == "__main__":
    main()
