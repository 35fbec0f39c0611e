"""Refit's view in a real Airflow: framed by the UI, quiet, in Airflow's theme, and a way out of the frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import FrameLocator, Page, expect

from ops.layout import admin_password
from tests.stack.browser import Seen, chromium, page
from tests.stack.conftest import Stack

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module", params=["light", "dark"])
def signed_in(request: pytest.FixtureRequest, running: Stack) -> Iterator[tuple[Page, Seen, str]]:
    with (
        chromium() as browser,
        page(browser, viewport={"width": 1440, "height": 900}, color_scheme=request.param) as (opened, seen),
    ):
        sign_in(opened, running.layout.url("airflow"), admin_password(running.layout))
        yield opened, seen, request.param


def sign_in(opened: Page, url: str, password: str) -> None:
    """Through Airflow's own form, as a person does."""
    opened.goto(f"{url}/auth/login")
    opened.get_by_label("Username").fill("admin")
    opened.locator("input[type=password]").fill(password)
    opened.get_by_role("button", name="Sign in").click()
    opened.wait_for_url(lambda address: "/auth/" not in address, timeout=60_000)


def frame(opened: Page) -> FrameLocator:
    return opened.frame_locator("iframe[title=Refit]")


def expect_its_script(opened: Page, theme: str) -> None:
    """The script that takes over the theme and leads links out of the frame is deferred: the text is there before."""
    expect(frame(opened).locator("html")).to_have_attribute("data-theme", theme, timeout=60_000)


def test_the_view_is_in_the_navigation_and_tells_the_champion(
    signed_in: tuple[Page, Seen, str], running: Stack
) -> None:
    opened, seen, theme = signed_in
    opened.goto(f"{running.layout.url('airflow')}/plugin/refit")
    expect(frame(opened).locator("#champion + .figure")).to_have_text("Version 1", timeout=60_000)
    expect_its_script(opened, theme)
    inner: Any = opened.locator("iframe[title=Refit]").element_handle().content_frame()
    found = Axe().run(inner)
    assert found.violations_count == 0, found.generate_report()
    assert not [error for error in seen.errors if "refit" in error.lower()]
    assert seen.hosts == {running.layout.url("airflow").split("/")[2]}


def test_a_dag_has_it_as_a_tab_and_its_buttons_lead_to_airflow(
    signed_in: tuple[Page, Seen, str], running: Stack
) -> None:
    opened, _, theme = signed_in
    opened.goto(f"{running.layout.url('airflow')}/dags/drift_check/plugin/refit-model")
    expect(frame(opened).locator("#verdict")).to_have_text("Last drift check", timeout=60_000)
    expect_its_script(opened, theme)
    frame(opened).get_by_role("link", name="Check now").click()
    opened.wait_for_url("**/dags/drift_check", timeout=60_000)
    opened.goto(f"{running.layout.url('airflow')}/plugin/refit")
    expect(frame(opened).locator("#champion")).to_be_visible(timeout=60_000)
    expect_its_script(opened, theme)
    frame(opened).get_by_role("link", name="Roll back").click()
    opened.wait_for_url("**/dags/rollback", timeout=60_000)
