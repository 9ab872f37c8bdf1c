"""The real product in a process of its own, and a real Chromium that looks at it.

product (session)  `freerelay serve` on an empty folder
new_page           a page of an isolated browser (`browsers.py`); it fails the test when anything asks another host
tenant_page, operator_page   such a page, signed in
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from folders import database_folder
from playwright.sync_api import Browser, Page, expect
from serving import Serving, serving

from freerelay_core.clock import SystemClock
from freerelay_core.store import PostgresStore
from freerelay_core.store.embedded import acquire_database
from freerelay_core.store.keys import new_key
from tests.e2e.browsers import Chromium

ALLOWED_VIOLATIONS = {"presentation-role-conflict"}
"""Of Streamlit's file uploader, minor, not ours to mend."""
RULES_OF_COLOURS = ["color-contrast", "link-in-text-block"]

expect.set_options(timeout=20_000)


@dataclass(frozen=True)
class Account:
    """A tenant with one key."""

    tenant_id: str
    email: str
    key: str = field(repr=False)


@pytest.fixture(scope="session")
def product() -> Iterator[Serving]:
    """`freerelay serve`, ready, with simulated waits cut to a fiftieth."""
    with database_folder() as folder, serving(folder / "home", FREERELAY_SIMULATED_TIME_SCALE="0.02") as it:
        yield it


@pytest.fixture(scope="session")
def with_store(product: Serving) -> Iterator[Callable[[Callable[[PostgresStore], Coroutine[Any, Any, Any]]], Any]]:
    """Runs work on the product's own database, as one more process that joins it."""
    loop = asyncio.new_event_loop()  # beside this thread's, which is Playwright's
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    async def joined() -> PostgresStore:
        store = PostgresStore(lease.dsn, clock=SystemClock())
        await store.open()
        return store

    with acquire_database(product.home) as lease:
        store = run(joined())
        yield lambda work: run(work(store))
        run(store.close())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


@pytest.fixture
def tenant(with_store: Callable[..., Any]) -> Account:
    """A new tenant, which has chosen nothing and sent nothing."""
    key = new_key("live")

    async def create(store: PostgresStore) -> Account:
        made = await store.create_tenant(f"{secrets.token_hex(4)}@example.com", tier="gold", allow_override=True)
        await store.create_key(made.id, name="test", prefix=key.prefix, key_hash=key.digest)
        return Account(made.id, made.email, key.secret)

    account: Account = with_store(create)
    return account


_CHROMIUM = Chromium()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """Chromium ends before a test that does not look at pages begins."""
    if nextitem is None or Path(__file__).parent not in nextitem.path.parents:
        _CHROMIUM.stop()


@pytest.fixture
def chromium() -> Browser:
    return _CHROMIUM.browser()


@pytest.fixture
def new_page(product: Serving) -> Iterator[Callable[..., Page]]:
    """Maker of pages, each in an isolated browser: `new_page(viewport=..., color_scheme=...)`.

    Afterwards: nothing has left the host, and no script of a page has failed.
    """
    browsers = _CHROMIUM.browsers(product.url)
    yield browsers.page
    foreign, faults = browsers.foreign, browsers.faults
    browsers.take_back()
    assert not foreign, "a page asked another host"
    assert not faults, "a script of a page failed"


@pytest.fixture
def wait_ready() -> Callable[[Page], None]:
    """Waits until a page has been drawn to its end."""
    return _wait_ready


def _wait_ready(page: Page) -> None:
    app = page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]')
    expect(app).to_be_attached()
    expect(page.locator("#rev")).to_be_attached()
    expect(app).to_be_attached()


@pytest.fixture
def sign_in() -> Callable[[Page, str, str], None]:
    """Signs the browser of a page in, and opens it at a path: `sign_in(page, key, path)`.

    It sends what the form sends without drawing the form, which costs as much as the page that is asked for. That the
    form signs in is tested in `test_sign_in.py`.
    """
    return _sign_in


def _sign_in(page: Page, key: str, path: str = "/") -> None:
    answer = page.request.post("/session", form={"api_key": key}, max_redirects=0)
    assert answer.headers["location"] == "/", "the key is refused"
    page.goto(path)
    expect(page.get_by_role("button", name="Sign out", include_hidden=True)).to_be_attached()
    _wait_ready(page)


@pytest.fixture
def tenant_page(new_page: Callable[..., Page], tenant: Account) -> Page:
    """A page signed in as a new tenant, on the settings."""
    page = new_page()
    _sign_in(page, tenant.key, "/settings")
    return page


@pytest.fixture
def operator_page(new_page: Callable[..., Page], product: Serving) -> Page:
    """A page signed in as the operator, on the simulator."""
    page = new_page()
    _sign_in(page, product.exports["FREERELAY_OPERATOR_KEY"], "/simulator")
    return page


@pytest.fixture
def violations() -> Callable[[Page], list[str]]:
    """Violations of accessibility rules that a page shows now, as axe-core finds them."""
    return _violations


def _violations(page: Page, rules: Sequence[str] = ()) -> list[str]:
    options = {"resultTypes": ["violations"]} | ({"runOnly": rules} if rules else {})
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{violation['id']} ({violation['impact']}): {violation['nodes'][0]['html'][:200]}"
        for violation in found
        if violation["id"] not in ALLOWED_VIOLATIONS
    ]


@pytest.fixture
def violations_light_and_dark() -> Callable[[Page], list[str]]:
    """Violations that a page of the dashboard, which is light, shows now; and what its colours violate in the dark."""

    def find(page: Page) -> list[str]:
        found = _violations(page)
        _turn(page, "dark")
        found += [f"in the dark, {each}" for each in _violations(page, RULES_OF_COLOURS)]
        _turn(page, "light")
        return found

    return find


def _turn(page: Page, scheme: Literal["light", "dark"]) -> None:
    """Change the colours that the system prefers, and wait until the page has followed."""
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function(
        "scheme => getComputedStyle(document.querySelector('[data-testid=stApp]')).colorScheme === scheme"
        " && document.getAnimations().every(each => each.playState !== 'running')",
        arg=scheme,
    )


@pytest.fixture
def query() -> Callable[[Page, str], None]:
    """Waits until the page's query string is this one."""
    return lambda page, wanted: page.wait_for_function("wanted => location.search === wanted", arg=wanted) and None
