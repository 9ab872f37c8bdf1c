"""The API with settings, database and providers for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from api_server import OPERATOR_KEY, Server, running
from upstreams import upstream_server

from freerelay_core import behaviour

_numbers = count(1)


@pytest.fixture(scope="module", autouse=True)
def _no_simulated_failures() -> Iterator[None]:
    """Here a failure is one that a test plans; what the simulated provider does is shown in its own tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(behaviour, "FAILURE_RATE", 0.0)
        patch.setattr(behaviour, "FREE_TIER_FAILURE_RATE", 0.0)
        yield


@pytest.fixture(scope="session")
def start(databases, migrated_template, tmp_path_factory) -> Callable[..., Any]:
    """`with start(**settings) as server`: the API on a fresh database."""

    @contextmanager
    def start(**options: object) -> Iterator[Server]:
        name = f"api_{next(_numbers)}"
        dsn = databases.create(name, template=migrated_template)
        home: Path = tmp_path_factory.mktemp("home")
        defaults = {
            "home": home, "database_url": dsn, "operator_key": OPERATOR_KEY, "demo": True,
            "simulated_time_scale": 0.01, "drain_s": 1.0, "explore_share": 0.0,
            "failed_keys_per_minute": 100_000,
        }  # fmt: skip
        with running(**(defaults | options)) as server:
            yield server
        databases.drop(name)

    return start


@pytest.fixture(scope="module")
def server(start) -> Iterator[Server]:
    """The API over the shipped catalogue, everything simulated."""
    with start() as running_server:
        yield running_server


CATALOGUE = """
providers:
  first: {{base_url: "{url}"}}
  second: {{base_url: "{url}", wire: vllm}}
endpoints:
  first/m: {{like: openai/gpt-4o-mini, upstream_model: first, price: free}}
  second/m: {{like: openai/gpt-4o-mini, upstream_model: second, price: {{input: 50, output: 50}}}}
"""


@pytest.fixture(scope="module")
def upstream():
    with upstream_server() as made:
        yield made


@pytest.fixture(scope="module")
def routed(start, upstream, tmp_path_factory) -> Iterator[Server]:
    """The API with two providers of the operator's own, which `upstream` plays; `first/m` is preferred."""
    catalogue = tmp_path_factory.mktemp("catalogue") / "catalogue.yaml"
    catalogue.write_text(CATALOGUE.format(url=upstream.url))
    with start(catalogue=catalogue) as running_server:
        yield running_server


@pytest.fixture
def calm(routed, upstream):
    """`routed` and `upstream`, with no memory of earlier tests: what they failed at counts no more."""
    upstream.received.clear()
    upstream.read_on.clear()
    upstream.plan_all_good()
    application = routed.application

    async def forget() -> None:
        for endpoint in range(len(application.catalogue.endpoints)):
            application.fleet.record(endpoint, ok=True)
            application.fleet.record(endpoint, ok=False, rate_limited=True, retry_after_s=0.0)

    routed.run(forget())
    return routed
