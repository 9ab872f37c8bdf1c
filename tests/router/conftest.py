"""A router over four providers on loopback that answer unless a test plans something else."""

from __future__ import annotations

import pytest
from router_rig import rigged
from upstreams import upstream_server


@pytest.fixture
def upstream():
    with upstream_server() as server:
        yield server


@pytest.fixture
async def rig(upstream, anyio_backend):
    async with rigged(upstream) as made:
        yield made
