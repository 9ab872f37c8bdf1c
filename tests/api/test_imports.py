"""What the endpoint alone loads: nothing of the dashboard, of reports or of simulations."""

from __future__ import annotations

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


def test_rules_load_nothing_for_the_terminal(tmp_path):
    rules = tmp_path / "rules.json"
    rules.write_text(RULE)
    load = f"load_policy(Path({str(rules)!r}), ['a/b'])"
    assert (
        loaded_elsewhere(f"from pathlib import Path; from freerelay_core.policy import load_policy; {load}") == "[]\n"
    )
