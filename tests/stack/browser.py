"""Chromium for tests: the system's own, quiet, and told to tell everything that goes wrong on a page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",  # tests also run as root, in containers
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # A sandboxed frame in a process of its own stays blank in headless screenshots.
    "--disable-features=IsolateSandboxedIframes,IsolateOrigins,site-per-process",
]


@dataclass
class Seen:
    """What a page said and asked for."""

    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser; fails, saying how to get one, where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    assert found, "no Chromium on this machine: apt install chromium (run_tests.sh does it where it may)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def page(browser: Browser, **context: Any) -> Iterator[tuple[Page, Seen]]:
    """A page of a fresh profile, and what it says and asks for."""
    profile = browser.new_context(**context)
    opened, seen = profile.new_page(), Seen()
    opened.on("console", lambda message: message.type == "error" and seen.errors.append(message.text))
    opened.on("pageerror", lambda error: seen.errors.append(str(error)))
    opened.on("request", lambda request: seen.hosts.add(request.url.split("/")[2]))
    try:
        yield opened, seen
    finally:
        profile.close()
