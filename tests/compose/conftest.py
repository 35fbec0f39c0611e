"""One cluster for all of these tests, taken down at the end, whatever happens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.cluster import SERVICES, WORKERS, Cluster

_figures: list[str] = []


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The file as it is, started; images are built where this checkout has none yet."""
    made = Cluster(tmp_path_factory.mktemp("compose"))
    try:
        began = time.monotonic()
        made.compose("build", "worker", "service")  # the others have the first one's image
        made.note(f"images built, or found built: {time.monotonic() - began:.0f} s; {made.image_sizes()}")
        made.started = time.monotonic()
        made.compose("up", "--detach", "--scale", f"worker={WORKERS}", "--scale", f"service={SERVICES}")
        yield made
    finally:
        if request.session.testsfailed:
            print(f"The containers' logs: {made.keep_logs()}")
        _figures.extend(made.figures)
        made.compose("down", "--volumes", "--remove-orphans", "--timeout", "20", check=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was measured, for the documents."""
    if _figures:
        terminalreporter.section("measured")
        for figure in _figures:
            terminalreporter.write_line(figure)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: Path(item.fspath).name != "test_first_run.py")  # it finds the cluster untouched
    for item in items:
        if Path(item.fspath).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(5400))  # the first has the build of the images in it
