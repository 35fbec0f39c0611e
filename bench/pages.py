"""Weight and first paint of the service's pages, in a real browser with an empty cache.

    python -m bench.pages --url http://127.0.0.1:8000

For each page, the median of `--rounds` visits: bytes that came over the wire (document, styles, script, pictures; as
the browser counts them, compressed where the service compresses), bytes unpacked, and the moment of the first paint
after the navigation began. The answer of the form comes from a browser that has the styles already.
Goals: below 300 kB, below 1 s.
"""

from __future__ import annotations

import os
from typing import Any

from bench import harness
from docs.shots.take import chromium

PAGES = ("/", "/?answer", "/models", "/monitoring", "/docs")
GOAL_BYTES, GOAL_MS = 300_000, 1_000.0
MEASURE = """() => {
  const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
  const sum = (name) => all.reduce((total, entry) => total + (entry[name] || 0), 0);
  const paint = performance.getEntriesByType('paint').find((entry) => entry.name === 'first-contentful-paint');
  return {transferred: sum('transferSize'), unpacked: sum('decodedBodySize'), paint: paint ? paint.startTime : null,
          requests: all.length};
}"""


def visit(browser: Any, url: str, path: str) -> dict[str, float]:
    """One visit from a fresh profile; `/?answer` sends the form as it is filled in."""
    profile = browser.new_context(viewport={"width": 1280, "height": 900})
    try:
        page = profile.new_page()
        page.goto(url + path.removesuffix("?answer"), wait_until="load")
        if path.endswith("?answer"):
            page.locator("form[method=post] button[type=submit]").first.click()
            page.locator("#answer").wait_for()
        while (found := page.evaluate(MEASURE))["paint"] is None:  # the pages' policy forbids a waiting script
            page.wait_for_timeout(20)
        measured: dict[str, float] = found
        return measured
    finally:
        profile.close()


def measure(url: str, rounds: int) -> dict[str, dict[str, float]]:
    """Page → medians over the rounds."""
    out: dict[str, dict[str, float]] = {}
    with chromium() as browser:
        visit(browser, url, PAGES[0])  # the browser's own first steps are not the page's
        for path in PAGES:
            out[path] = harness.medians([visit(browser, url, path) for _ in range(rounds)])
    return out


def main() -> None:
    """The command."""
    parser = harness.options(__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the running service")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    found = measure(arguments.url.rstrip("/"), arguments.rounds)
    told = {"pages": found, "load": os.getloadavg()[0]}
    harness.show(told, lambda: text(found), as_json=arguments.json)


def text(found: dict[str, dict[str, float]]) -> str:
    """A line a page."""
    lines = [f"{'page':14}{'transferred':>14}{'unpacked':>12}{'requests':>10}{'first paint':>14}   met"]
    for path, one in found.items():
        met = one["transferred"] < GOAL_BYTES and one["paint"] < GOAL_MS
        lines.append(
            f"{path:14}{one['transferred'] / 1000:11.1f} kB{one['unpacked'] / 1000:9.1f} kB{one['requests']:10.0f}"
            f"{one['paint']:11.0f} ms   {'yes' if met else 'NO'}"
        )
    return "\n".join([*lines, f"load {os.getloadavg()[0]:.1f}"])


if __name__ == "__main__":
    main()
