"""The service's pages in a real browser, from a real gunicorn: narrow and wide, both languages, both themes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from tests.conftest import CHECKOUT
from tests.ports import free_port
from tests.serving import showcase
from tests.stack.browser import chromium, page

pytestmark = [pytest.mark.stack, pytest.mark.browser]

PATHS = ("/", "/models", "/models/2", "/models?from=2&to=3", "/monitoring", "/monitoring?report=check0", "/docs")
NARROW, WIDE = {"width": 360, "height": 740}, {"width": 1920, "height": 1080}
OUTSIDE = """() => [...document.querySelectorAll('svg.chart')].flatMap((chart) => {
  const box = chart.getBoundingClientRect();
  const over = (r) => Math.max(box.left - r.left, r.right - box.right, box.top - r.top, r.bottom - box.bottom);
  const shown = [...chart.querySelectorAll('text')].filter((text) => text.getBoundingClientRect().width);
  return shown.map((text) => [text.textContent, over(text.getBoundingClientRect())]).filter(([, by]) => by > 1);
})"""
CSV = "id,n0,n1,n2,n3,n4,n5,c0,c1,c2\n" + "".join(f"{i},1,2,3,4,5,{i % 7 - 3},red,green,red\n" for i in range(50))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a service with the showcase in it."""
    home = tmp_path_factory.mktemp("home")
    showcase.write(home)
    with _serving(home) as address:
        yield address


@pytest.fixture(scope="module")
def wide_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a service with 100 long-named columns, 26 classes and much that happened."""
    home = tmp_path_factory.mktemp("wide")
    showcase.write_wide(home)
    with _serving(home) as address:
        yield address


@contextmanager
def _serving(home: Path) -> Iterator[str]:
    port = free_port()
    environ = os.environ | {"REFIT_HOME": str(home), "REFIT_CONFIG": str(home / "refit.toml")}  # not the checkout's
    environ |= {"REFIT_SERVING_PORT": str(port), "REFIT_SERVING__WORKERS": "1"}
    command = [
        str(Path(sys.executable).with_name("gunicorn")),
        "-c",
        "serving/gunicorn.conf.py",
        "serving.app:create_app()",
    ]
    with (home / "service.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=CHECKOUT, env=environ, stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_ready(address, process, home / "service.log")
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def _wait_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{address}/health/ready", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"the service did not become ready: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "context",
    [
        {"viewport": NARROW, "locale": "vi-VN", "color_scheme": "dark"},
        {"viewport": NARROW, "locale": "en-GB", "color_scheme": "light"},
        {"viewport": WIDE, "locale": "en-GB", "color_scheme": "dark"},
        {"viewport": WIDE, "locale": "vi-VN", "color_scheme": "light"},
    ],
    ids=["narrow-vi-dark", "narrow-en-light", "wide-en-dark", "wide-vi-light"],
)
def test_pages_are_accessible_quiet_and_self_contained(
    path: str, context: dict[str, Any], url: str, browser: Browser
) -> None:
    """No axe violation, no console error, no request to another host, no sideways scrolling."""
    with page(browser, **context) as (opened, seen):
        opened.goto(url + path)
        assert opened.locator("html").get_attribute("lang") == context["locale"][:2]
        assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        result = Axe().run(opened, options={"iframes": False})
        assert result.violations_count == 0, result.generate_report()
        assert seen.errors == []
        assert seen.hosts == {url.split("/")[2]}


@pytest.mark.parametrize("path", ["/", "/models", "/monitoring"])
@pytest.mark.parametrize("width", [360, 768, 1280, 1920])
def test_the_widest_model_fits_the_screen(path: str, width: int, wide_url: str, browser: Browser) -> None:
    """Every fold open: long names wrap or scroll in a place of their own, never the page."""
    with page(browser, viewport={"width": width, "height": 900}, locale="vi-VN") as (opened, seen):
        opened.goto(wide_url + path)
        if path == "/":
            opened.get_by_role("button", name="Dự đoán", exact=True).click()
            expect(opened.locator("#answer")).to_be_visible()
        opened.evaluate("document.querySelectorAll('details').forEach((fold) => (fold.open = true))")
        assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert seen.errors == []


@pytest.mark.parametrize("path", ["/", "/models", "/models/2", "/monitoring"])
@pytest.mark.parametrize("locale", ["en-GB", "vi-VN"])
@pytest.mark.parametrize("world", ["url", "wide_url"])
def test_no_letter_of_a_chart_is_cut_off(
    world: str, locale: str, path: str, browser: Browser, request: pytest.FixtureRequest
) -> None:
    """Letters keep their size where the picture shrinks: what stands at its edges must have room for them."""
    address: str = request.getfixturevalue(world)
    for width in (360, 600, 1280):
        with page(browser, viewport={"width": width, "height": 900}, locale=locale) as (opened, _):
            opened.goto(address + path)
            if path == "/":
                opened.locator("form[method=post] button[type=submit]").first.click()
                expect(opened.locator("#answer svg.chart .bar").first).to_be_visible()
            assert opened.evaluate(OUTSIDE) == []


def test_every_chart_has_its_numbers_behind_it(url: str, browser: Browser) -> None:
    """Each picture of a model is drawn from numbers, which stand in a table that can be opened."""
    with page(browser, viewport=WIDE, locale="en-GB") as (opened, seen):
        opened.goto(f"{url}/models")
        assert opened.locator("main img").count() == 0
        for title in ("ROC curve", "Precision and recall", "Calibration: promised and observed", "Confusion matrix",
                      "Training curves", "Convergence of the search", "Comparison of configurations"):  # fmt: skip
            section = opened.locator("section", has=opened.get_by_role("heading", name=title, exact=True))
            expect(section.locator("svg.chart").first).to_be_visible()
            section.locator("summary").click()
            assert section.locator("tbody tr").count() > 1
        assert seen.errors == []


@pytest.mark.parametrize("javascript", [True, False], ids=["with script", "without script"])
@pytest.mark.parametrize("viewport", [NARROW, WIDE], ids=["narrow", "wide"])
def test_predict_explain_and_label(viewport: dict[str, int], javascript: bool, url: str, browser: Browser) -> None:
    """The main path, by its labels, with and without JavaScript."""
    with page(browser, viewport=viewport, java_script_enabled=javascript, locale="en-GB") as (opened, seen):
        opened.goto(url)
        opened.get_by_label("n0").fill("2.5")
        opened.get_by_label("c1").select_option("green")
        opened.get_by_role("button", name="Predict", exact=True).click()
        answer = opened.locator("#answer")
        expect(answer).to_contain_text("Why")
        expect(answer.locator("svg.chart .bar")).to_have_count(10)  # the probability, and a column each
        expect(opened.get_by_label("n0")).to_have_value("2.5")
        expect(opened.get_by_label("True label")).to_have_value("")
        opened.get_by_label("True label").select_option("yes")
        opened.get_by_role("button", name="Send the true label", exact=True).click()
        expect(opened.get_by_role("status")).to_contain_text("the true label was kept")
        expect(answer.locator("svg.chart .bar")).to_have_count(10)
        assert seen.errors == []


def test_a_wrong_field_is_shown_at_the_field(url: str, browser: Browser) -> None:
    """The message names the column in the reader's words, and the field says that it is wrong."""
    with page(browser, viewport=NARROW, locale="vi-VN") as (opened, _):
        opened.goto(url)
        opened.get_by_label("n2").fill("nhiều")
        opened.get_by_role("button", name="Dự đoán", exact=True).click()
        expect(opened.get_by_role("alert")).to_contain_text("cột “n2”")
        expect(opened.get_by_label("n2")).to_have_attribute("aria-invalid", "true")
        expect(opened.get_by_label("n2")).to_have_value("nhiều")


def test_a_file_is_scored_sorted_filtered_and_downloaded(url: str, browser: Browser, tmp_path: Path) -> None:
    """Upload with progress; the table sorts and filters; the download has every row."""
    (tmp_path / "rows.csv").write_text(CSV)
    with page(browser, viewport=WIDE, locale="en-GB", accept_downloads=True) as (opened, seen):
        opened.goto(url)
        opened.locator("#upload input[type=file]").set_input_files(tmp_path / "rows.csv")
        opened.get_by_role("button", name="Predict the file").click()
        expect(opened.locator("h1")).to_have_text("rows.csv")
        rows = opened.locator("#rows tbody tr")
        expect(rows).to_have_count(50)
        opened.get_by_role("button", name="id", exact=True).click()
        opened.get_by_role("button", name="id", exact=True).click()
        names = [name.split()[0] for name in opened.locator("#rows thead th").all_inner_texts()]
        expect(rows.first.locator("td").nth(names.index("id"))).to_have_text("49")
        opened.get_by_label("Show rows that contain").fill("49")
        assert 0 < opened.locator("#rows tbody tr:visible").count() < 50
        with opened.expect_download() as download:
            opened.get_by_role("button", name="Download the results (CSV)").click()
        assert Path(download.value.path()).read_text().count("\n") == 51
        assert seen.errors == []


@pytest.mark.parametrize("world", ["url", "wide_url"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_answers_are_accessible(
    world: str, scheme: str, browser: Browser, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """What a form, a file and a wrong address are answered by has no axe violation either."""
    address: str = request.getfixturevalue(world)
    with page(browser, viewport=NARROW, locale="vi-VN", color_scheme=scheme) as (opened, _):
        opened.goto(address)
        opened.locator("form[method=post] button[type=submit]").first.click()
        expect(opened.locator("#answer")).to_be_visible()
        answer = Axe().run(opened)
        assert answer.violations_count == 0, answer.generate_report()
        if world == "url":  # the wide world's table is another one
            (tmp_path / "rows.csv").write_text(CSV)
            opened.locator("#upload input[type=file]").set_input_files(tmp_path / "rows.csv")
            opened.get_by_role("button", name="Dự đoán tệp").click()
            expect(opened.locator("#rows tbody tr").first).to_be_visible(timeout=30_000)
            assert opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
            result = Axe().run(opened)
            assert result.violations_count == 0, result.generate_report()
        opened.goto(f"{address}/no-such-page")
        missing = Axe().run(opened)
        assert missing.violations_count == 0, missing.generate_report()


def test_a_bad_file_is_explained(url: str, browser: Browser, tmp_path: Path) -> None:
    """The page says what is wrong, and the form is still there to try again."""
    (tmp_path / "rows.csv").write_text("n0,n1\n1,2\n")
    with page(browser, viewport=NARROW, locale="en-GB") as (opened, _):
        opened.goto(url)
        opened.locator("#upload input[type=file]").set_input_files(tmp_path / "rows.csv")
        opened.get_by_role("button", name="Predict the file").click()
        expect(opened.get_by_role("alert")).to_contain_text("n2")
        expect(opened.locator("#upload input[type=file]")).to_be_visible()


@pytest.mark.parametrize("javascript", [True, False], ids=["with script", "without script"])
def test_a_file_that_is_too_large_is_told_on_a_page(
    javascript: bool, browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker refuses it by its head, before the application sees it."""
    monkeypatch.setenv("REFIT_SERVING__MAX_BODY_BYTES", "100000")
    showcase.write(tmp_path)
    (tmp_path / "rows.csv").write_text(CSV + "x" * 1_000_000)
    with (
        _serving(tmp_path) as address,
        page(browser, viewport=NARROW, locale="vi-VN", java_script_enabled=javascript) as (
            opened,
            _,
        ),
    ):
        opened.goto(address)
        opened.locator("#upload input[type=file]").set_input_files(tmp_path / "rows.csv")
        opened.get_by_role("button", name="Dự đoán tệp").click()
        expect(opened.get_by_role("alert")).to_contain_text("100")
        expect(opened.get_by_role("link", name="Về trang đầu")).to_be_visible()


def test_the_report_runs_in_a_world_of_its_own(url: str, browser: Browser) -> None:
    """The report's script ran, and could not reach the page around it."""
    with page(browser, viewport=WIDE) as (opened, seen):
        opened.goto(f"{url}/monitoring?report=check0")
        frame = opened.frame_locator("iframe.report")
        expect(frame.locator("h1")).to_have_text("Drift report")
        inner = next(f for f in opened.frames if "/monitoring/report/" in f.url)
        assert inner.title() == "ran"
        assert inner.evaluate("window.origin") == "null"
        assert seen.errors == []


def test_the_keyboard_alone_is_enough(url: str, browser: Browser) -> None:
    """Skip link first; then the form is filled in and sent without a mouse."""
    with page(browser, viewport=WIDE, locale="en-GB") as (opened, _):
        opened.goto(url)
        opened.keyboard.press("Tab")
        expect(opened.locator(":focus")).to_have_text("Skip to the content")
        opened.keyboard.press("Enter")
        for _ in range(40):
            opened.keyboard.press("Tab")
            if opened.evaluate("document.activeElement.id") == "field-0":
                break
        opened.keyboard.press("Control+A")
        opened.keyboard.type("1.25")
        opened.keyboard.press("Enter")
        expect(opened.locator("#answer")).to_be_visible()
        expect(opened.get_by_label("n0")).to_have_value("1.25")


def test_the_theme_is_remembered(url: str, browser: Browser) -> None:
    """Chosen once, it holds on every page."""
    with page(browser, viewport=WIDE, locale="en-GB", color_scheme="light") as (opened, _):
        opened.goto(url)
        opened.get_by_role("link", name="Theme: automatic").click()
        opened.goto(f"{url}/models")
        assert opened.locator("html").get_attribute("data-theme") == "dark"
