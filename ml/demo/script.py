"""The course of the demonstration: the phases, what is said on the terminal, the summary and the picture."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from ml import confirm
from ml.atomic import write_json
from ml.data import customers
from ml.demo.airflow import Airflow, AirflowUnavailable
from ml.demo.live import Phase, Traffic
from ml.demo.picture import Event, draw
from ml.demo.watcher import Watcher
from ml.errors import DataError, RefitError
from ml.settings import Settings
from ml.traffic import Client, ServiceUnavailable

RATE = 40.0  # customers a second
LABEL_DELAY_S = 8.0
LINE_S = 5.0  # between two lines of accuracy
CHECK_S = 25.0  # without a verdict for so long, a drift check is asked for
USUAL = Phase("usual")
SHIFTED = Phase("covariate shift", shift=1.0)
CONCEPT = Phase("concept shift", shift=1.0, concept=1.0)
FIRST_S = 900.0  # for the first champion; a minute on an idle machine
RECOVERED_S = 40.0  # watched after the swap


class Demo:
    """State of one demonstration."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.airflow = Airflow(settings)
        self.url = confirm.urls(settings)[0]
        self.events: list[Event] = []
        self.phases: list[dict[str, Any]] = []
        self.traffic = Traffic(self.url, rate=RATE, label_delay_s=LABEL_DELAY_S, seed=1_000)
        self.watcher: Watcher | None = None

    def say(self, text: str) -> None:
        """A line with the seconds since the start."""
        print(f"{time.monotonic() - self.traffic.started:6.0f} s  {text}", flush=True)

    def phase(self, phase: Phase, told: str, done: Callable[[Watcher, float], bool], limit_s: float) -> bool:
        """Play one phase until `done(watcher, seconds in it)`; False when its time was up first."""
        assert self.watcher is not None
        self.watcher.forget()
        self.traffic.change(phase)
        began = time.monotonic()
        self.say(f"── {told}")
        self.events.append(Event(began - self.traffic.started, "world", phase.name))
        spoken = began
        finished = False
        while time.monotonic() - began < limit_s and not finished:
            time.sleep(0.5)
            if self.traffic.failure is not None:
                raise self.traffic.failure
            self._show_news()
            if time.monotonic() - spoken >= LINE_S:
                spoken = time.monotonic()
                self._show_accuracy()
            self._ask_for_check()
            finished = done(self.watcher, time.monotonic() - began)
        self.phases.append({"phase": phase.name, "accuracy": self.traffic.accuracy(20.0), "done": finished})
        return finished

    def _show_news(self) -> None:
        assert self.watcher is not None
        for event in self.watcher.news():
            short, _, text = event.text.partition("|")
            self.say(text)
            if event.kind != "task":
                self.events.append(Event(event.at, event.kind, short))

    def _show_accuracy(self) -> None:
        accuracy = self.traffic.accuracy(10.0)
        if accuracy is not None:
            version = self.traffic.batches[-1].version
            self.say(f"accuracy {accuracy:6.1%} {'█' * round(40 * accuracy)}  version {version}")

    def _ask_for_check(self) -> None:
        """New predictions start a check by themselves; if none came for a while, ask for one."""
        assert self.watcher is not None
        last = max(self.watcher.last_check, getattr(self, "_asked", 0.0), time.time() - 3 * CHECK_S)
        if time.time() - last > CHECK_S:
            self._asked = time.time()
            try:
                self.airflow.trigger("drift_check")
            except AirflowUnavailable as error:
                self.say(str(error))


def run(settings: Settings) -> int:
    """All phases, then the summary; 0 when the loop noticed, retrained and recovered."""
    demo = Demo(settings)
    _champion(demo)
    demo.traffic.started = time.monotonic()
    demo.traffic.start()
    demo.watcher = Watcher(settings, demo.airflow, demo.traffic.started)
    try:
        steps = [
            demo.phase(USUAL, "The usual customers come.", lambda w, s: len(w.verdicts) >= 2 and s > 40, 90),
            demo.phase(
                SHIFTED,
                "Covariate shift: younger, dearer, more mobile customers; the reasons to leave are the same.",
                lambda w, s: len(w.verdicts) >= 3 and s > 40,
                100,
            ),
            demo.phase(
                CONCEPT,
                "Concept shift: price and support no longer matter as before, and long contracts leave too.",
                lambda w, s: w.promoted,
                200,
            ),
            demo.phase(CONCEPT, "The new champion answers. The world stays changed.", lambda w, s: s > RECOVERED_S, 60),
        ]
    finally:
        demo.traffic.stop()
    return _summary(demo, noticed=steps[2])


def _champion(demo: Demo) -> None:
    """Wait for a champion of the simulated customers; have one made where there is none.

    Raises
    ------
    DataError
        The service serves a model of other data.
    """
    demo.say(f"Service {demo.url}, Airflow {demo.airflow.url}")
    if not _serves_customers(demo):
        demo.say("No champion yet: Airflow trains the first one.")
        name = demo.airflow.trigger("retrain", {"reason": "first champion of the demonstration"})
        demo.say(demo.airflow.page("retrain", name))
        deadline = time.monotonic() + FIRST_S
        while not _serves_customers(demo):
            state = next((r["state"] for r in demo.airflow.runs("retrain") if r["dag_run_id"] == name), "unknown")
            if state == "failed" or time.monotonic() > deadline:
                raise RefitError(
                    f"the first retraining did not give a champion ({state}): {demo.airflow.page('retrain', name)}"
                )
            time.sleep(1.0)
    model = Client(demo.url).model()
    demo.say(f"Champion: version {model['model_version']}")


def _serves_customers(demo: Demo) -> bool:
    try:
        schema = Client(demo.url, tries=1).schema()
    except (ServiceUnavailable, DataError):  # alive, and without a model
        return False
    if schema.target != customers.TARGET:
        raise DataError(
            f"the service predicts '{schema.target}'; the demonstration needs a stack of its own data: "
            "./run_pipeline.sh --demo-drift, or start one with REFIT_DATA__SOURCE=customers"
        )
    return True


def _summary(demo: Demo, *, noticed: bool) -> int:
    batches, reports = demo.traffic.batches, demo.settings.var / "reports"
    accuracy = {p["phase"] + (" after the swap" if i == 3 else ""): p["accuracy"] for i, p in enumerate(demo.phases)}
    before, after = (demo.phases[i]["accuracy"] or 0.0 for i in (0, 3))
    worst = min(_worst(demo), default=0.0)
    versions = list(dict.fromkeys(b.version for b in batches))
    recovered = noticed and after > worst + 0.5 * (before - worst)
    summary = {
        "seconds": time.monotonic() - demo.traffic.started,
        "rows": sum(b.rows for b in batches),
        "requests_answered": demo.traffic.requests,
        "requests_sent_again": demo.traffic.retried,
        "versions": versions,
        "accuracy": accuracy,
        "worst": worst,
        "recovered": recovered,
        "events": [{"at": e.at, "kind": e.kind, "text": e.text} for e in demo.events],
    }
    write_json(reports / "demo.json", summary)
    draw(reports / "demo.png", batches, demo.events)
    print("\nSummary")
    for name, value in accuracy.items():
        print(f"  {name:<32} accuracy {value:.1%}" if value is not None else f"  {name:<32} no answer")
    print(f"  lowest after the concept shift   accuracy {worst:.1%}")
    print(f"  {summary['rows']:,} customers, every request answered ({demo.traffic.retried} sent again)")
    print(f"  versions that answered: {', '.join(versions)}")
    print(f"  picture: {reports / 'demo.png'}\n  numbers: {reports / 'demo.json'}")
    if not recovered:
        print("  The loop did not recover in the time of the demonstration.", file=sys.stderr)
    return 0 if recovered else 1


def _worst(demo: Demo, span_s: float = 15.0) -> list[float]:
    """Accuracies of the spans after the concept shift began."""
    spans: dict[int, list[int]] = {}
    for batch in demo.traffic.batches:
        if batch.phase == CONCEPT.name:
            found = spans.setdefault(int(batch.at // span_s), [0, 0])
            found[0] += batch.right
            found[1] += batch.rows
    return [right / rows for right, rows in spans.values() if rows >= 100]
