"""Where the files lie that FreeRelay reads beside this package."""

from __future__ import annotations

from pathlib import Path

__all__ = ["ROOT", "root_of"]


def root_of(package: Path) -> Path:
    """The folder with `app.py`, the pages, Streamlit's configuration and the schema of the database.

    They lie beside the package in a checkout. Where it is installed (`pip install .`) it has brought them along, as
    pyproject.toml says: beside the packages of others their names would be in the way.
    """
    brought = package / "checkout"
    return brought if brought.is_dir() else package.parent


ROOT = root_of(Path(__file__).resolve().parent)
