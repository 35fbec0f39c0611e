"""Take every picture of the documentation from a running stack, so that none is older than the code.

    .venv/bin/python docs/shots/take.py --service http://127.0.0.1:8000 --airflow http://127.0.0.1:8080 \\
        --password-file var/secrets/airflow_passwords.json --out docs/images

Uses the system's Chromium. `--only NAME` takes one; `--all` also those that no page shows (for looking at them).
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
WIDE, NARROW = {"width": 1280, "height": 860}, {"width": 360, "height": 740}


class Shot(NamedTuple):
    """One picture: of which server, which path, what is done first, and how the browser is set."""

    name: str
    server: str
    path: str
    before: Callable[[Page], None] | None = None
    context: dict[str, Any] = {}  # noqa: RUF012
    full: bool = False
    in_docs: bool = False


def predict(page: Page) -> None:
    """Send the form as it is filled in: with the model's own example."""
    page.locator("form[method=post] button[type=submit]").first.click()
    page.locator("#answer").wait_for()
    page.evaluate("document.activeElement?.blur()")
    page.evaluate("window.scrollTo(0, 0)")


def framed(page: Page) -> None:
    """Wait for Refit's view inside of Airflow's frame."""
    page.frame_locator("iframe[title=Refit]").locator("h2").first.wait_for(timeout=90_000)
    page.wait_for_timeout(1_000)


def report_in(page: Page) -> None:
    """Open the newest report where there is one, and wait until it has drawn itself."""
    link = page.locator("a[href*='report=']").first
    if link.count():
        link.click()
        page.locator("iframe.report").wait_for()
        page.wait_for_timeout(8_000)
        page.locator("iframe.report").scroll_into_view_if_needed()


DARK = {"color_scheme": "dark"}
VIETNAMESE = {"locale": "vi-VN"}
SHOTS = [
    Shot("predict", "service", "/", predict, in_docs=True),
    Shot("models", "service", "/models", in_docs=True),
    Shot("monitoring", "service", "/monitoring", in_docs=True),
    Shot("airflow-view", "airflow", "/plugin/refit", framed, in_docs=True),
    Shot("predict-vi", "service", "/", predict, VIETNAMESE, in_docs=True),
    Shot("predict-dark", "service", "/", predict, DARK),
    Shot("predict-vi-narrow", "service", "/", predict, VIETNAMESE | {"viewport": NARROW}, full=True),
    Shot("models-full-dark", "service", "/models", None, DARK, full=True),
    Shot("models-narrow", "service", "/models", None, VIETNAMESE | {"viewport": NARROW}, full=True),
    Shot("version", "service", "/models/1", None, full=True),
    Shot("monitoring-full", "service", "/monitoring", None, VIETNAMESE, full=True),
    Shot("monitoring-narrow-dark", "service", "/monitoring", None, DARK | {"viewport": NARROW}, full=True),
    Shot("monitoring-report", "service", "/monitoring", report_in),
    Shot("api", "service", "/docs", None, full=True),
    Shot("api-narrow", "service", "/docs", None, {"viewport": NARROW}),
    Shot("airflow-view-dark", "airflow", "/plugin/refit", framed, DARK),
    Shot("airflow-dag-view", "airflow", "/dags/drift_check/plugin/refit-model", framed),
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser of the system's."""
    found = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    if found is None:
        sys.exit("no Chromium on this machine: apt install chromium")
    # A sandboxed frame in a process of its own stays blank in headless pictures.
    flags = ["--no-sandbox", "--disable-gpu", "--disable-features=IsolateSandboxedIframes,IsolateOrigins"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=flags)
        try:
            yield browser
        finally:
            browser.close()


def take(browser: Browser, shot: Shot, url: str, out: Path, password: str) -> Path:
    """One picture, from a fresh profile."""
    settings = {"viewport": WIDE, "locale": "en-GB", "color_scheme": "light", "reduced_motion": "reduce"} | shot.context
    profile = browser.new_context(**settings)
    try:
        page = profile.new_page()
        page.set_default_timeout(90_000)
        if shot.server == "airflow":
            sign_in(page, url, password)
        page.goto(url + shot.path)
        if shot.before:
            shot.before(page)
        file = out / f"{shot.name}.png"
        page.screenshot(path=file, full_page=shot.full)
        return smaller(file)
    finally:
        profile.close()


def sign_in(page: Page, url: str, password: str) -> None:
    """Through Airflow's own form."""
    page.goto(f"{url}/auth/login")
    page.locator("input[name=username]").fill("admin")
    page.locator("input[type=password]").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda address: "/auth/" not in address)


def smaller(file: Path) -> Path:
    """To a palette of 256 colours: a third of the size, and these pictures have few colours."""
    from PIL import Image

    with Image.open(file) as picture:
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)
    return file


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Take the pictures of the documentation from a running stack.")
    parser.add_argument("--service", default="http://127.0.0.1:8000")
    parser.add_argument("--airflow", default="", help="its address; empty: its pictures are left out")
    parser.add_argument("--password-file", type=Path, help="Airflow's generated passwords")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "images")
    parser.add_argument("--only", choices=[shot.name for shot in SHOTS], action="append")
    parser.add_argument("--all", action="store_true", help="also those that no page shows")
    arguments = parser.parse_args()
    servers = {"service": arguments.service.rstrip("/"), "airflow": arguments.airflow.rstrip("/")}
    password = json.loads(arguments.password_file.read_text())["admin"] if arguments.password_file else ""
    arguments.out.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        for shot in SHOTS:
            chosen = shot.name in arguments.only if arguments.only else shot.in_docs or arguments.all
            if chosen and servers[shot.server]:
                file = take(browser, shot, servers[shot.server], arguments.out, password)
                print(f"{file}  {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
