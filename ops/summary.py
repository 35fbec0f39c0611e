"""What is said at the end: the champion, the verdict, where everything is, and a line to try."""

from __future__ import annotations

import contextlib
import json
import shlex
import urllib.error
import urllib.request
from typing import Any

from ops import stack
from ops.errors import StackError
from ops.layout import Layout
from ops.terminal import Terminal


def addresses(layout: Layout, terminal: Terminal) -> None:
    """URLs and where the password lies."""
    name = layout.settings.registry.model_name
    # MLflow opens in another mode, with the registry hidden, without this parameter.
    workflow = "workflowType=machine_learning"
    terminal.line(f"  Service   {layout.url('service')}/        pages, API: {layout.url('service')}/docs")
    terminal.line(f"  Airflow   {layout.url('airflow')}/        user admin, password in {layout.password_file}")
    terminal.line(f"  MLflow    {layout.url('mlflow')}/?{workflow}#/models/{name}")
    terminal.line(f"  Logs      {layout.logs}")


def run(layout: Layout, terminal: Terminal, results: dict[str, Any]) -> None:
    """After a successful run: wait for the service to answer with the champion, and print the summary.

    Raises
    ------
    StackError
        The service does not answer with what the run promoted, or there is no champion at all.
    """
    promoted = results.get("promote") or {}
    expected = str(promoted["version"]) if promoted.get("promoted") else None
    model, answer = _served(layout, expected)
    terminal.line()
    terminal.line(str((results.get("evaluate") or {}).get("sentence", "")))
    if expected is None:
        terminal.line(f"Version {model['model_version']} goes on serving.")
    terminal.line(f"Champion: {layout.settings.registry.model_name} version {model['model_version']}")
    for metric, value in _headline(model["metrics"].get("metrics", {})).items():
        terminal.line(f"  {metric:<18} {value}")
    first = answer["predictions"][0]
    terminal.line(f"A prediction of it: {first['label']} ({first['probability']:.3f})")
    terminal.line()
    addresses(layout, terminal)
    terminal.line()
    terminal.line("Try it:")
    terminal.line(curl(layout, model["example"]))


def champion(layout: Layout, terminal: Terminal) -> None:
    """One line on what is served now."""
    try:
        model = _get(f"{layout.url('service')}/model")
    except (OSError, ValueError):
        terminal.line("  Champion  none is served yet")
    else:
        terminal.line(f"  Champion  {layout.settings.registry.model_name} version {model['model_version']}")


def curl(layout: Layout, example: dict[str, Any]) -> str:
    """A line that works when pasted into a shell."""
    body = shlex.quote(json.dumps({"rows": [example]}, ensure_ascii=False))
    return f"curl -s {layout.url('service')}/predict -H 'Content-Type: application/json' -d {body}"


def _served(layout: Layout, expected: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """`GET /model` and a prediction of its example, both by the expected version."""
    base = layout.url("service")
    last = "it does not answer"
    for _ in stack.ticks(60):
        with contextlib.suppress(OSError, ValueError, KeyError):
            model = _get(f"{base}/model")
            answer = _get(f"{base}/predict", {"rows": [model["example"]]})
            versions = {model["model_version"], answer["model_version"]}
            if versions == {expected or model["model_version"]}:
                return model, answer
            last = f"it answers with version {model['model_version']}"
    if expected is None:
        raise StackError("no model is served: the gate refused the challenger, and there is no earlier champion")
    raise StackError(f"version {expected} was promoted and the service does not answer with it: {last}")


def _headline(metrics: dict[str, Any]) -> dict[str, str]:
    """The metrics a person asks for first, with their interval where there is one."""
    shown = {}
    for name in ("log_loss", "roc_auc", "accuracy", "f1", "macro_f1", "brier"):
        found = metrics.get(name)
        if isinstance(found, dict) and "value" in found:
            interval = f"  [{found['low']:.3f}, {found['high']:.3f}]" if found.get("low") is not None else ""
            shown[name] = f"{found['value']:.3f}{interval}"
        elif isinstance(found, int | float):
            shown[name] = f"{found:.3f}"
    return shown


def _get(address: str, body: dict[str, Any] | None = None) -> Any:
    request = urllib.request.Request(
        address,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Accept": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)
