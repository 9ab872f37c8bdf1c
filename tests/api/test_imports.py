"""What the endpoint alone loads: nothing of the dashboard, of reports or of simulations."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ELSEWHERE = (
    "streamlit", "pandas", "plotly", "scipy", "rich", "pyarrow", "freerelay_core.reports", "freerelay_core.simulation",
)  # fmt: skip


def test_the_endpoint_loads_nothing_of_the_dashboard():
    script = f"import sys; import freerelay_core.api; print(sorted(set({ELSEWHERE}) & set(sys.modules)))"
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    assert loaded.stdout == "[]\n"
