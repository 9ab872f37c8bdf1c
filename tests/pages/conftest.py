"""The real application on a fresh database, and a reader of its pages without a browser."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from streamlit.components.v2.component_manager import BidiComponentManager
from streamlit.runtime.context import ContextProxy
from streamlit.testing.v1 import AppTest

from freerelay_core.api.session import COOKIE
from freerelay_core.composition import Application
from freerelay_core.config import load_settings
from freerelay_core.store.keys import key_digest, new_key

MAIN = str(Path(__file__).parents[2] / "pages" / "_main.py")
OPERATOR_KEY = "operator-" + "k" * 40


@dataclass(frozen=True)
class Running:
    """A running application and the event loop on which it lives."""

    application: Application
    demo_key: str
    operator_key: str = OPERATOR_KEY

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.application.loop).result(20)

    def new_tenant(self) -> tuple[str, str]:
        """The id and the key of a new tenant."""
        key = new_key("live")
        store = self.application.store
        tenant = self.run(
            store.create_tenant(f"{secrets.token_hex(4)}@example.com", tier="bronze", allow_override=False)
        )
        self.run(store.create_key(tenant.id, name="test", prefix=key.prefix, key_hash=key.digest))
        return tenant.id, key.secret


@pytest.fixture(autouse=True)
def _jobs_end() -> Iterator[None]:
    """Work for pages goes on in threads for a moment when it was given up, and only so many run in one process."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("job-"):
            thread.join(20)


@pytest.fixture
def rules() -> str:
    """The operator's rules, YAML; a test module may define its own."""
    return "rules: []"


@pytest.fixture
def demo() -> bool:
    """Whether there is a demo tenant; a test module may say no, and then has no `demo_key`."""
    return True


@pytest.fixture
def running(database: str, tmp_path: Path, rules: str, demo: bool) -> Iterator[Running]:  # noqa: FBT001
    """The application, started and stopped on an event loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    (tmp_path / "rules.yaml").write_text(rules)
    settings = load_settings(
        home=tmp_path,
        database_url=database,
        operator_key=OPERATOR_KEY,
        demo=demo,
        demo_week=False,
        rules=tmp_path / "rules.yaml",
    )

    async def start() -> Application:
        return await Application.start(settings, environment={})

    application = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    assert (application.demo_key is not None) is demo
    yield Running(application, application.demo_key or "")
    asyncio.run_coroutine_threadsafe(application.stop(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


class Reader:
    """Opens pages as whoever holds the session cookie; what a browser would send, without the browser."""

    def __init__(self, running: Running, cookies: dict[str, str], components: BidiComponentManager) -> None:
        self._running = running
        self._components = components
        self.cookies = cookies

    def sign_in(self, secret: str) -> None:
        self.cookies[COOKIE] = self._running.run(self._running.application.open_session(secret))

    def sign_out(self) -> None:
        """End the session in the store; the browser keeps its cookie."""
        self._running.run(self._running.application.store.end_session(key_digest(self.cookies[COOKIE])))

    def open(self, page: str = "", **query: str) -> AppTest:
        """The page at this path, drawn."""
        app = AppTest.from_file(MAIN, default_timeout=30)
        app._bidi_component_manager = self._components
        app.query_params.update(query)
        if page:
            app._page_hash = _page_hash(page)
        return app.run()

    def go(self, app: AppTest, page: str) -> AppTest:
        """The page at this path, drawn for somebody who was on another one."""
        app._page_hash = _page_hash(page)
        return app.run()


def _page_hash(page: str) -> str:
    from streamlit.util import calc_hash

    return calc_hash(page)  # how Streamlit names the page at this path


@pytest.fixture(scope="session")
def components() -> BidiComponentManager:
    """Streamlit's components, found once as by its server: it reads the description of every installed package."""
    manager = BidiComponentManager()
    manager.discover_and_register_components(start_file_watching=False)
    return manager


@pytest.fixture
def reader(running: Running, components: BidiComponentManager, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """Somebody who is not signed in yet."""
    cookies: dict[str, str] = {}
    monkeypatch.setattr(ContextProxy, "cookies", property(lambda _: dict(cookies)))
    return Reader(running, cookies, components)


@pytest.fixture
def tenant_reader(reader: Reader, running: Running) -> Reader:
    """Somebody signed in with the demo tenant's key."""
    reader.sign_in(running.demo_key)
    return reader


@pytest.fixture
def operator_reader(reader: Reader, running: Running) -> Reader:
    """Somebody signed in with the operator's key."""
    reader.sign_in(running.operator_key)
    return reader
