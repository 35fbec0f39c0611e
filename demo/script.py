"""The course of the demonstration: its phases, and what is said on the terminal meanwhile."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from demo import summary
from demo.live import CONCEPT, SHIFTED, USUAL, Phase, Traffic
from demo.picture import Event
from demo.traffic import Client, ServiceUnavailable
from demo.watcher import Watcher
from ml.data.sources import customers
from ml.errors import DataError, RefitError
from ml.registry import rollout
from ml.settings import Settings
from ops.airflow_api import AirflowApi, AirflowUnavailable
from ops.layout import Layout

RATE = 40.0  # customers a second
LABEL_DELAY_S = 8.0
LINE_S = 5.0  # between two lines of accuracy
CHECK_S = 40.0  # without a verdict for so long, a drift check is asked for
FIRST_S = 900.0  # for the first champion; a minute on an idle machine
RECOVERED_S = 40.0  # watched after the swap at least …
CLIMB_S = 300.0  # … and until what is possible is reached, at most so long
PREFACE = f"""
What is shown: {RATE:.0f} simulated customers a second ask the running service who of them will leave, and what they
really did comes back as a label {LABEL_DELAY_S:.0f} s later. The loop runs as it always does: new predictions start a
drift check on Airflow, and a verdict that asks for it starts a retraining. Nobody helps it.
  1  the usual customers come                 expected: stable
  2  other customers, the same behaviour      expected: drift is told, the model holds
  3  the same customers behave differently    expected: degraded as soon as labels tell, retraining, a new champion,
     and further ones until it is right nearly as often as is possible
"""


class Demo:
    """State of one demonstration."""

    def __init__(self, settings: Settings, reports: Path | None = None) -> None:
        self.settings = settings
        self.reports = reports or settings.var / "reports"
        self.airflow = AirflowApi.embedded(Layout(settings))
        self.url = rollout.urls(settings)[0]
        self.events: list[Event] = []
        self.phases: list[dict[str, Any]] = []
        self.traffic = Traffic(self.url, rate=RATE, label_delay_s=LABEL_DELAY_S, seed=1_000)
        self.watcher: Watcher | None = None
        self._asked = 0.0  # wall clock of the last check that was asked for

    def say(self, text: str) -> None:
        """Lines with the seconds since the start before the first."""
        first, *more = text.splitlines()
        print(f"{time.monotonic() - self.traffic.started:6.0f} s  {first}")
        for line in more:
            print(f"{'':10}{line}")
        sys.stdout.flush()

    def phase(self, phase: Phase, told: str, done: Callable[[Watcher, float], bool], limit_s: float) -> bool:
        """Play one phase until `done(watcher, seconds in it)`; False when its time was up first."""
        assert self.watcher is not None
        self.watcher.forget()
        self.traffic.change(phase)
        began = spoken = time.monotonic()
        self.say(f"── {told}")
        self.events.append(Event(began - self.traffic.started, "world", phase.name))
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
            self.say(event.told)
            self.events.append(event)

    def _show_accuracy(self) -> None:
        accuracy = self.traffic.accuracy(10.0)
        if accuracy is not None:
            version = self.traffic.batches[-1].version
            self.say(f"version {version} is right on {accuracy:4.0%} {'█' * round(40 * accuracy)}")

    def _ask_for_check(self) -> None:
        """New predictions start a check by themselves; if none came for a while, ask for one."""
        assert self.watcher is not None
        last = max(self.watcher.last_check, self._asked, time.time() - 2 * CHECK_S)
        if time.time() - last > CHECK_S:
            self._asked = time.time()
            try:
                self.airflow.unpause("drift_check")
                self.airflow.trigger("drift_check", {})
            except AirflowUnavailable as error:
                self.say(str(error))


def run(settings: Settings, *, reports: Path | None = None) -> int:
    """All phases, then the summary; 0 when the loop noticed, retrained and recovered.

    Parameters
    ----------
    reports
        Where picture and numbers go; `var/reports` by default.
    """
    demo = Demo(settings, reports)
    _champion(demo)
    print(PREFACE)
    demo.traffic.started = time.monotonic()
    demo.traffic.start()
    demo.watcher = Watcher(settings, demo.airflow, demo.traffic.started)
    try:
        demo.phase(USUAL, "1  The usual customers come.", lambda w, s: len(w.verdicts) >= 2 and s > 30, 90)
        demo.phase(
            SHIFTED,
            "2  Covariate shift: younger, dearer, more mobile customers; their reasons to leave are the same.",
            lambda w, s: w.verdicts.count("drift") >= 2 and s > 30,
            90,
        )
        noticed = demo.phase(
            CONCEPT,
            "3  Concept shift: price and support no longer matter as before, and long contracts leave too.",
            lambda w, s: w.promoted,
            330,  # a challenger that came too early is refused, and the next one has more to learn from
        )
        demo.phase(
            CONCEPT,
            "   The world stays as it is; who answers now, and does it come near what is possible?",
            lambda w, s: s > RECOVERED_S and summary.recovered(demo.traffic.accuracy(20.0)),
            CLIMB_S,
        )
    finally:
        demo.traffic.stop()
    return summary.write(demo.reports, settings, demo.traffic, demo.events, demo.phases, noticed=noticed)


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
        demo.airflow.unpause("retrain")
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
