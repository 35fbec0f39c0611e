"""API keys, their scopes, and who may do without."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ml.errors import SettingsError
from serving.api import guard
from serving.app import create_app
from serving.auth import keys as auth
from tests.serving import tiny
from tests.serving.conftest import Make
from tests.serving.running import ROOT, wait_for

ROWS = {"rows": [tiny.row()]}


def test_keys_open_what_their_scope_says(make: Make, tmp_path: Path) -> None:
    client = make(serving={"require_keys": "always"})
    settings = tiny.settings_for(tmp_path)
    keys = {scope: auth.create(settings, (scope,), scope) for scope in auth.SCOPES}
    stored = (tmp_path / "var" / "secrets" / auth.FILE).read_text()
    assert not any(key in stored for key in keys.values())

    def code(path: str, key: str | None) -> int:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return client.open(path, method="POST" if path == "/predict" else "GET", json=ROWS, headers=headers).status_code

    assert code("/health/live", None) == 200
    assert code("/predict", None) == 401
    assert code("/predict", "rk_wrong") == 401
    assert code("/predict", keys["feedback"]) == 403
    assert code("/predict", keys["predict"]) == 200
    assert code("/predict", keys["admin"]) == 200
    assert code("/metrics", keys["predict"]) == 403
    assert code("/metrics", keys["admin"]) == 200
    assert client.post("/predict", json=ROWS, headers={"X-API-Key": keys["predict"]}).status_code == 200


def test_who_may_only_predict_cannot_write_a_label_by_any_route(make: Make, tmp_path: Path) -> None:
    client = make(serving={"require_keys": "always"})
    settings = tiny.settings_for(tmp_path)
    keys = {scope: auth.create(settings, (scope,), scope) for scope in auth.SCOPES}
    label = {"prediction_id": "a", "label": "1"}

    def code(key: str, path: str, **body: object) -> int:
        return client.post(path, headers={"X-API-Key": keys[key]}, **body).status_code  # type: ignore[arg-type]

    assert code("predict", "/feedback", json=label) == code("predict", "/label", data=label) == 403
    assert code("feedback", "/feedback", json=label) == 200
    assert code("feedback", "/label", data=label) == 303


def test_route_without_a_scope_cannot_be_registered() -> None:
    app = guard.Application("tests")
    with pytest.raises(TypeError, match=r"/open: its view lacks @guard\.opens"):
        app.add_url_rule("/open", "open", lambda: "")


def test_only_these_routes_need_no_key(tmp_path: Path) -> None:
    app = create_app(tiny.settings_for(tmp_path))
    rules = [(rule.rule, app.scope(rule.endpoint)) for rule in app.url_map.iter_rules()]  # type: ignore[attr-defined]
    assert {rule for rule, scope in rules if scope is None} == {
        "/health", "/health/live", "/health/ready", "/ping", "/version", "/v2/health/live", "/v2/health/ready",
        "/static/<path:filename>",
    }  # fmt: skip
    assert {rule for rule, scope in rules if scope == "feedback"} == {"/actions", "/feedback", "/label", "/labels"}
    assert {rule for rule, scope in rules if scope == "admin"} == {"/metrics"}


def test_browser_may_give_the_key_as_password(make: Make, tmp_path: Path) -> None:
    key = auth.create(tiny.settings_for(tmp_path), ("predict",), "browser")
    client = make(serving={"require_keys": "always"})
    asked = client.get("/model")
    assert 'Basic realm="Refit"' in asked.headers["WWW-Authenticate"]
    assert client.get("/model", auth=("anyone", key)).status_code == 200
    assert client.get("/model", auth=("anyone", "wrong")).status_code == 401


def test_revoked_key_is_refused(make: Make, tmp_path: Path) -> None:
    settings = tiny.settings_for(tmp_path)
    key = auth.create(settings, ("predict",), "short-lived")
    client = make(serving={"require_keys": "always"})
    headers = {"X-API-Key": key}
    assert client.post("/predict", json=ROWS, headers=headers).status_code == 200
    (kept,) = auth.read(tmp_path / "var" / "secrets" / auth.FILE)
    assert auth.revoke(settings, kept.id)
    wait_for(lambda: client.post("/predict", json=ROWS, headers=headers).status_code == 401, what="the revocation")


def test_two_keys_are_no_key(make: Make) -> None:
    """As a WSGI server joins a header that came twice; the fast worker refuses it as it comes."""
    client = make(serving={"require_keys": "always"})
    for headers in ({"X-API-Key": "a,b"}, {"Authorization": "Bearer a,Bearer b"}):
        assert client.post("/predict", json={"rows": []}, headers=headers).status_code == 400


def test_rate_limit_refuses_and_says_when(make: Make) -> None:
    client = make(serving={"rate_limit_per_s": 0.01, "rate_burst": 3})
    codes = [client.post("/predict", json=ROWS).status_code for _ in range(5)]
    assert codes == [200, 200, 200, 429, 429]
    assert int(client.post("/predict", json=ROWS).headers["Retry-After"]) > 1
    assert client.get("/health/live").status_code == 200


@pytest.mark.parametrize(
    ("host", "needed"), [("127.0.0.1", False), ("::1", False), ("localhost", False), ("0.0.0.0", True), ("::", True)]
)
def test_keys_are_required_beyond_loopback(tmp_path: Path, host: str, needed: bool) -> None:
    assert auth.required(tiny.settings_for(tmp_path, serving={"host": host})) is needed


def test_service_refuses_to_start_beyond_loopback_without_a_key(tmp_path: Path) -> None:
    env = {"REFIT_HOME": str(tmp_path), "REFIT_SERVING__HOST": "0.0.0.0", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", "serving/gunicorn.conf.py", "serving.app:create_app()"],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    assert "python -m serving.auth create" in done.stdout + done.stderr


def test_without_keys_beyond_loopback_the_hosts_are_listed(tmp_path: Path) -> None:
    """As in a container: otherwise a page of any name that resolves to it could ask it."""
    open_to_all = {"host": "0.0.0.0", "require_keys": "never"}
    with pytest.raises(SettingsError, match=r"serving\.allowed_hosts"):
        auth.check_bind(tiny.settings_for(tmp_path, serving=open_to_all))
    auth.check_bind(tiny.settings_for(tmp_path, serving={**open_to_all, "allowed_hosts": ["service"]}))


@pytest.mark.parametrize(
    ("serving", "host", "status"),
    [
        ({"host": "0.0.0.0", "require_keys": "never", "allowed_hosts": ["service"]}, "evil.example", 400),
        ({"host": "0.0.0.0", "require_keys": "never", "allowed_hosts": ["service"]}, "service:8000", 200),
        ({"host": "0.0.0.0", "require_keys": "never", "allowed_hosts": ["service"]}, "127.0.0.1:8000", 200),
        ({"host": "0.0.0.0", "require_keys": "always", "allowed_hosts": ["service"]}, "evil.example", 400),
        ({"host": "0.0.0.0", "require_keys": "always"}, "score.example.com", 401),
    ],
)
def test_host_is_checked_where_no_key_protects(make: Make, serving: dict[str, Any], host: str, status: int) -> None:
    assert make(serving=serving).get("/model", headers={"Host": host}).status_code == status


def test_keys_are_never_readable_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for a moment either: before the file has its name it has its mode."""
    modes, real = [], os.replace

    def replace(source: str, target: Path) -> None:
        modes.append(stat.S_IMODE(os.stat(source).st_mode))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    auth.create(tiny.settings_for(tmp_path), ("predict",), "job")
    assert modes == [0o600]


def test_command_line_makes_lists_and_revokes(tmp_path: Path) -> None:
    env = {"REFIT_HOME": str(tmp_path), "REFIT_CONFIG": str(tmp_path / "none.toml"), "PATH": "/usr/bin:/bin"}

    def run(*words: str) -> str:
        command = [sys.executable, "-m", "serving.auth", *words]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True, timeout=60).stdout

    key = run("create", "--scope", "predict", "--scope", "feedback", "--name", "job").strip()
    found = auth.Keys(tiny.settings_for(tmp_path)).find(key)
    assert found is not None
    assert found.scopes == ("predict", "feedback")
    assert "predict,feedback  job" in run("list")
    assert key not in run("list")
    run("revoke", found.id)
    assert run("list") == ""
