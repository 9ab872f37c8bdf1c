"""Takes the pictures in `docs/screenshots/` from the running product: each page, light, dark and 390 pixels wide.

python docs/take_screenshots.py
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from openai import OpenAI
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests")]

from serving import serving  # noqa: E402  (the tests know how to start the product)

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium-headless-shell") or "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
LOOKS = {
    "light": {"viewport": {"width": 1440, "height": 900}},
    "dark": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}},
}
PAGES = {
    "OPENAI_API_KEY": {
        "overview": "/",
        "settings": "/settings?preference=cost-optimized",
        "simulator": "/simulator",
        "activity": "/activity",
        "reports": "/reports",
        "keys": "/keys",
    },
    "FREERELAY_OPERATOR_KEY": {
        "overview-operator": "/",
        "what-if": "/what-if",
        "fleet": "/fleet",
        "tenants": "/tenants",
    },
}
"""By the variable that holds the key to sign in with."""
SCENARIO = """name: Free tiers away
changes: [{withdraw: {endpoints: "*-free/*"}}, {price: {endpoints: "deepseek/*", times: 2}}]
"""
PROMPTS = (
    "Hello, how are you?",
    "Write a Python function that merges two sorted lists.",
    "Translate to German: the meeting is at noon.",
    "Classify the sentiment of this review: it broke after a day.",
    "Summarize the following article in three sentences.",
)


def main() -> None:
    """Start the product, send it some traffic, and picture every page."""
    with tempfile.TemporaryDirectory(prefix="freerelay-") as folder:
        Path(folder).chmod(0o711)
        with serving(Path(folder) / "home", FREERELAY_SIMULATED_TIME_SCALE="0") as product, sync_playwright() as driver:
            key = product.exports["OPENAI_API_KEY"]
            client = OpenAI(base_url=f"{product.url}/v1", api_key=key)
            for number in range(120):
                content = PROMPTS[number % len(PROMPTS)]
                client.chat.completions.create(
                    model="freerelay/auto", messages=[{"role": "user", "content": content}], max_tokens=40
                )
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            for look, options in LOOKS.items():
                for variable, paths in PAGES.items():
                    page = browser.new_context(base_url=product.url, **options).new_page()
                    page.goto("/")
                    page.get_by_label("API key").wait_for()
                    if variable == "OPENAI_API_KEY":
                        _picture(page, f"sign-in-{look}")
                    page.get_by_label("API key").fill(product.exports[variable])
                    page.keyboard.press("Enter")
                    page.get_by_role("heading", name="Overview").wait_for()
                    for name, path in paths.items():
                        _open(page, path)
                        if name == "what-if":
                            _rehearse(page)
                        _picture(page, f"{name}-{look}")
            browser.close()


def _open(page: Page, path: str) -> None:
    page.goto(path)
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
    page.locator("#rev").wait_for(state="attached")


def _rehearse(page: Page) -> None:
    """Run a scenario, so that there is an answer to picture."""
    page.get_by_text("As YAML").click()
    page.get_by_role("textbox", name="Scenario", exact=True).fill(SCENARIO)
    page.get_by_role("button", name="Take it over").click()
    page.get_by_text("*-free/* is withdrawn").first.wait_for()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("heading", name="What this rests on").wait_for()


def _picture(page: Page, name: str) -> None:
    page.wait_for_timeout(3_000)  # tables and charts are drawn after the page says it is done
    page.screenshot(path=HERE / "screenshots" / f"{name}.png")


if __name__ == "__main__":
    main()
