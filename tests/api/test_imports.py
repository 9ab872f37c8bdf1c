"""What the endpoint alone loads: nothing of the dashboard, of reports or of simulations."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ELSEWHERE = (
    "streamlit", "pandas", "plotly", "scipy", "rich", "pyarrow", "freerelay_core.reports", "freerelay_core.simulation",
    "typer", "prompt_toolkit", "pygments",
)  # fmt: skip
RULE = '{"rules": [{"name": "long", "when": "input_tokens > 1000", "prefer": ["*"]}]}'


def loaded_elsewhere(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {script}; print(sorted(set({ELSEWHERE}) & set(sys.modules)))"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_endpoint_loads_nothing_of_the_dashboard():
    assert loaded_elsewhere("import freerelay_core.api") == "[]\n"


def test_what_checks_schemas_is_loaded_in_a_thread_once_a_request_asks_for_one():
    script = """
import sys, threading
import builders
from freerelay_core.clock import SystemClock
from freerelay_core.decision import decide
from freerelay_core.fleet import Fleet
from freerelay_core.profile import OutputContract
from freerelay_core.router import Router

catalogue, clock = builders.catalogue(builders.endpoint("a/m")), SystemClock()
base = builders.snapshot(*catalogue.endpoints)
fleet = Fleet(base, clock, worker="w", epoch_s=1.0, prices_on=lambda _: base.prices)
router = Router(catalogue, fleet, clock, real=None, simulated=None, real_providers=frozenset())
for contract in (OutputContract.JSON, OutputContract.STRICT, OutputContract.SCHEMA):
    router.begin(decide(base, builders.request(contract=contract), decision_id="d"), stream=False)
    threads = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    for thread in threads:
        thread.join()
    print(contract.label, len(threads), "jsonschema" in sys.modules)
"""
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (root, root / "tests")))}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["json 0 False", "strict 1 True", "schema 0 True"]


def test_rules_load_nothing_for_the_terminal(tmp_path):
    rules = tmp_path / "rules.json"
    rules.write_text(RULE)
    load = f"load_policy(Path({str(rules)!r}), ['a/b'])"
    assert (
        loaded_elsewhere(f"from pathlib import Path; from freerelay_core.policy import load_policy; {load}") == "[]\n"
    )
