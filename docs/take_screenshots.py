"""Takes the pictures in `docs/screenshots/` from the running product: each page, light, dark and 390 pixels wide.

python docs/take_screenshots.py
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from openai import OpenAI
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests")]

from serving import serving  # noqa: E402  (the tests know how to start the product)

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
LOOKS = {
    "light": {"viewport": {"width": 1440, "height": 900}},
    "dark": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}},
}
PAGES = {"settings": "/settings?preference=cost-optimized", "simulator": "/simulator"}
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
                page = browser.new_context(base_url=product.url, **options).new_page()
                page.goto("/")
                page.get_by_label("API key").wait_for()
                _picture(page, f"sign-in-{look}")
                page.get_by_label("API key").fill(key)
                page.keyboard.press("Enter")
                for name, path in PAGES.items():
                    page.locator("#rev").wait_for(state="attached")
                    page.goto(path)
                    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
                    page.locator("#rev").wait_for(state="attached")
                    _picture(page, f"{name}-{look}")
            browser.close()


def _picture(page: Page, name: str) -> None:
    page.wait_for_timeout(3_000)  # tables and charts are drawn after the page says it is done
    page.screenshot(path=HERE / "screenshots" / f"{name}.png")


if __name__ == "__main__":
    main()
