"""What FreeRelay reads beside its package is found in a checkout and where it is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from freerelay_core.places import root_of

CHECKOUT = Path(__file__).parents[1]
READ = ("app.py", "pages/_main.py", "pages/assets/style.css", ".streamlit/config.toml", "supabase_schema.sql")


@pytest.fixture
def installed(tmp_path):
    """A folder of packages with this one, laid out as pyproject.toml has it installed; no network is needed."""
    wheel = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    for name in wheel["packages"]:
        shutil.copytree(CHECKOUT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for source, target in wheel["force-include"].items():
        (tmp_path / target).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (CHECKOUT / source).is_dir() else shutil.copy
        copy(CHECKOUT / source, tmp_path / target)
    return tmp_path


def test_a_checkout_has_them_beside_the_package():
    root = root_of(CHECKOUT / "freerelay_core")
    assert root == CHECKOUT
    assert all((root / name).is_file() for name in READ)


def test_an_installed_package_has_brought_them_along(installed):
    root = root_of(installed / "freerelay_core")
    assert root.is_relative_to(installed / "freerelay_core")
    assert [name for name in READ if not (root / name).is_file()] == []


def test_installed_it_runs_in_any_folder(installed, tmp_path_factory):
    code = (
        "import sys; sys.argv = ['freerelay', 'catalogue', 'check'];"
        "from freerelay_core.store.migrate import SCHEMA; print(SCHEMA.is_file(), SCHEMA);"
        "from freerelay_core.cli import main; main()"
    )
    environment = {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    command = [sys.executable, "-P", "-c", code]
    run = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=True)
    schema, checked, *_ = run.stdout.splitlines()
    assert schema.startswith(f"True {installed}")
    assert checked.startswith("No problems: ")
