"""One Chromium and the pages in it, each of an isolated browser, which one test after another uses.

A page that is used again keeps its process, and with it what the dashboard's scripts were compiled to: it is drawn for
half of the work. What a test leaves in it is gone before the next: the document, cookies, storage and permissions.
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Error, Page, sync_playwright

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium-headless-shell") or "/usr/bin/chromium"
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"width": 1440, "height": 900}


class Browsers:
    """The isolated browsers of one running Chromium that look at the product at `url`."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url
        self._idle: list[Page] = []
        self._used: list[Page] = []
        self.foreign: list[str] = []
        """Addresses outside the product that pages have asked since `take_back`."""
        self.faults: list[str] = []
        """What scripts of pages have failed with since `take_back`."""

    def page(self, *, viewport: Any = None, color_scheme: Any = "light") -> Page:
        """An empty page in a browser of its own, in which nobody is signed in."""
        page = self._idle.pop() if self._idle else self._new()
        self._used.append(page)
        page.set_viewport_size(viewport or DESKTOP)
        page.emulate_media(color_scheme=color_scheme)
        return page

    def take_back(self) -> None:
        """Empty all pages for the next test."""
        self.foreign, self.faults = [], []
        while self._used:
            page = self._used.pop()
            try:
                self._empty(page)
            except Error:  # of a page that a failed test left in the middle of something
                page.context.close()
            else:
                self._idle.append(page)

    def _new(self) -> Page:
        # Fades cost a tenth of the browser's work.
        context = self._browser.new_context(base_url=self._url, viewport=DESKTOP, reduced_motion="reduce")
        context.on("request", lambda request: self._asked(request.url))
        context.on("page", self._watch)
        return context.new_page()

    def _watch(self, page: Page) -> None:
        page.on("websocket", lambda socket: self._asked(socket.url))
        page.on("pageerror", lambda error: self.faults.append(str(error)))

    def _asked(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.netloc != urlsplit(self._url).netloc:
            self.foreign.append(url)

    def _empty(self, page: Page) -> None:
        context = page.context
        for other in context.pages:
            if other is not page:
                other.close()
        if page.url.startswith(self._url):
            page.evaluate("localStorage.clear(); sessionStorage.clear()")
        page.goto("about:blank")
        page.mouse.move(0, 0)
        context.clear_cookies()
        context.clear_permissions()


class Chromium:
    """Chromium while one test after another looks at pages, and beside no other test: as long as Playwright's
    synchronous interface runs, nothing else of the process could start an event loop.
    """

    def __init__(self) -> None:
        self._running = ExitStack()
        self._browser: Browser | None = None
        self._browsers: Browsers | None = None

    def browser(self) -> Browser:
        """The running browser, started where there is none."""
        if self._browser is None:
            playwright = self._running.enter_context(sync_playwright())
            self._browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
            self._running.callback(self._browser.close)
        return self._browser

    def browsers(self, url: str) -> Browsers:
        """Isolated browsers in it that look at the product at `url`."""
        if self._browsers is None:
            self._browsers = Browsers(self.browser(), url)
        return self._browsers

    def stop(self) -> None:
        """End it, if it runs."""
        self._browser = self._browsers = None
        self._running.close()
