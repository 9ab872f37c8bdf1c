"""The real product in a process of its own, and a real Chromium that looks at it.

    product (session)  `freerelay serve` on an empty folder
    new_page           a page of an isolated browser; it fails the test when anything asks another host
    tenant_page, operator_page   such a page, signed in

The browser ends with its module: while Playwright's synchronous interface runs, no other test of the process could
start an event loop.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from folders import database_folder
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from serving import Serving, serving

from freerelay_core.clock import SystemClock
from freerelay_core.store import PostgresStore
from freerelay_core.store.embedded import acquire_database
from freerelay_core.store.keys import new_key

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium-headless-shell") or "/usr/bin/chromium"
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
]
ALLOWED_VIOLATIONS = {"presentation-role-conflict"}
"""Of Streamlit's file uploader, minor, not ours to mend."""

DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}

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
def with_store(product: Serving) -> Callable[[Callable[[PostgresStore], Awaitable[Any]]], Any]:
    """Runs work on the product's own database, as one more process that joins it."""

    async def run(work: Callable[[PostgresStore], Awaitable[Any]]) -> Any:
        with acquire_database(product.home) as lease:
            store = PostgresStore(lease.dsn, clock=SystemClock())
            await store.open()
            try:
                return await work(store)
            finally:
                await store.close()

    def in_a_thread(work: Callable[[PostgresStore], Awaitable[Any]]) -> Any:
        with ThreadPoolExecutor(1) as thread:  # this one's event loop is Playwright's
            return thread.submit(lambda: asyncio.run(run(work))).result()

    return in_a_thread


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


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def new_context(chromium: Browser, product: Serving) -> Iterator[Callable[..., BrowserContext]]:
    """Maker of isolated browsers. Afterwards: nothing has left the host, and no script of a page has failed."""
    contexts: list[BrowserContext] = []
    foreign: list[str] = []
    faults: list[str] = []

    def asked(url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.netloc != f"127.0.0.1:{product.port}":
            foreign.append(url)

    def watch(page: Page) -> None:
        page.on("websocket", lambda socket: asked(socket.url))
        page.on("pageerror", lambda error: faults.append(str(error)))

    def make(**options: Any) -> BrowserContext:
        usual = {"viewport": DESKTOP, "reduced_motion": "reduce"}  # fades cost a tenth of the browser's work
        context = chromium.new_context(base_url=product.url, **(usual | options))
        context.on("request", lambda request: asked(request.url))
        context.on("page", watch)
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        context.close()
    assert not foreign, "a page asked another host"
    assert not faults, "a script of a page failed"


@pytest.fixture
def new_page(new_context: Callable[..., BrowserContext]) -> Callable[..., Page]:
    """Maker of pages, each in an isolated browser; takes the options of a context (viewport, color_scheme)."""
    return lambda **options: new_context(**options).new_page()


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
    """Signs in as a person would, from the page at a path: `sign_in(page, key, path)`."""
    return _sign_in


def _sign_in(page: Page, key: str, path: str = "/") -> None:
    page.goto(path)
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
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

    def find(page: Page) -> list[str]:
        found = Axe().run(page).response["violations"]
        return [
            f"{violation['id']} ({violation['impact']}): {violation['nodes'][0]['html'][:200]}"
            for violation in found
            if violation["id"] not in ALLOWED_VIOLATIONS
        ]

    return find


@pytest.fixture
def query() -> Callable[[Page, str], None]:
    """Waits until the page's query string is this one."""
    return lambda page, wanted: page.wait_for_function("wanted => location.search === wanted", arg=wanted) and None
