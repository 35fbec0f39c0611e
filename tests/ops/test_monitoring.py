"""Prometheus and Grafana of the compose file: what they ask for is there."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shutil
import subprocess
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from ml import http
from serving.auth import keys
from tests.ports import free_port
from tests.serving import tiny
from tests.serving.running import ROOT, Server, serving, wait_for

FOLDER = ROOT / "ops" / "monitoring"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text(encoding="utf-8"))
PROMETHEUS: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
RULES = [rule for group in yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"] for rule in group["rules"]]
BOARD: dict[str, Any] = json.loads((FOLDER / "grafana" / "dashboards" / "refit.json").read_text(encoding="utf-8"))
OF_PROMETHEUS = {"up", "job", "instance", "le"}  # metrics and labels that it makes itself, and a histogram's
SUFFIXES = ("_bucket", "_sum", "_count", "_created")


def board_queries() -> dict[str, str]:
    """Panel's title → each of its queries, with the variables as Grafana fills them in for "All"."""
    filled = {"$__rate_interval": "1m", "$instance": ".*", "$route": ".*"}
    found = {}
    for panel in BOARD["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"]
            for name, value in filled.items():
                query = query.replace(name, value)
            found[f"{panel['title']} {target['refId']}"] = query
    return found


QUERIES = board_queries() | {rule["alert"]: rule["expr"] for rule in RULES}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two workers that answered rows, an unusual one among them, and refused one."""
    home = tmp_path_factory.mktemp("service")
    tiny.publish(tiny.settings_for(home), "1")
    with serving(home, SERVING__WORKERS="2") as server:
        wait_for(lambda: len(server.ready()["workers"]) == 2, what="two workers")
        for _ in range(20):
            assert server.predict([tiny.row(), tiny.row(f0=1e6)])[0] == 200
        assert server.predict([{}])[0] == 422
        wait_for(lambda: b"refit_flagged_inputs_total{" in server.get("/metrics")[2], what="what was counted")
        yield server


def test_every_figure_that_is_shown_or_watched_is_one_that_a_service_tells(service: Server) -> None:
    """Metrics and labels, in the dashboard and the rules, against the real `/metrics`."""
    told: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(service.get("/metrics")[2].decode()):
        told[family.name] = told[family.name + "_total"] = {*itertools.chain(*(s.labels for s in family.samples))}
    labels = set().union(*told.values()) | OF_PROMETHEUS
    queries = [*QUERIES.values(), *(one["definition"] for one in BOARD["templating"]["list"])]
    for query in queries:
        named = set(re.findall(r"\brefit_\w+", query))
        assert named | (set(re.findall(r"\w+", query)) & OF_PROMETHEUS), query
        for name in named:
            base = next((name.removesuffix(end) for end in SUFFIXES if name.endswith(end)), name)
            assert base in told, f"{name} in {query}"
        groups = itertools.chain(*(one.split(",") for one in re.findall(r"\bby \(([^)]*)\)", query)))
        matched = re.findall(r"[{,](\w+)\s*[=!]", query)
        assert {label.strip() for label in [*groups, *matched]} <= labels, query
    legends = re.findall(r"\{\{(\w+)\}\}", json.dumps(BOARD)) + re.findall(r"\$labels\.(\w+)", json.dumps(RULES))
    assert set(legends) <= labels


def test_the_dashboard_shows_what_is_told(service: Server) -> None:
    """No figure of the service is left out of it."""
    told = {family.name for family in text_string_to_metric_families(service.get("/metrics")[2].decode())}
    shown = json.dumps(BOARD)
    assert not {name for name in told if name not in shown}


@pytest.fixture
def _installed() -> None:
    if shutil.which("prometheus") is None:
        pytest.fail("needs Prometheus: install it (Debian: apt install prometheus)")


@pytest.mark.usefixtures("_installed")
def test_prometheus_takes_the_configuration() -> None:
    """By its own checker, which Debian's package has."""
    for words in (["config", "--syntax-only", "prometheus.yml"], ["rules", "rules.yml"]):
        done = subprocess.run(["promtool", "check", *words], cwd=FOLDER, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@contextlib.contextmanager
def prometheus(folder: Path, targets: list[str], key: str) -> Iterator[str]:
    """The real program on our configuration, with addresses in the place of DNS; its own address."""
    configuration = json.loads(json.dumps(PROMETHEUS).replace("/tmp/key", str(folder / "key")))
    (job,) = configuration["scrape_configs"]
    job.pop("dns_sd_configs")
    job |= {"static_configs": [{"targets": targets}], "scrape_interval": "1s"}
    configuration["global"]["evaluation_interval"] = "1s"
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    (folder / "key").write_text(key)
    shutil.copy(FOLDER / "rules.yml", folder)
    address = f"127.0.0.1:{free_port(1)}"
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--web.listen-address={address}"]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen([*command, f"--storage.tsdb.path={folder / 'data'}"], stdout=log, stderr=log)
    try:
        wait_for(lambda: http.answers(f"http://{address}/-/ready"), what="Prometheus")
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(30)


def ask(address: str, query: str) -> list[Any]:
    """What Prometheus answers to a query now."""
    words = urllib.parse.urlencode({"query": query})
    answer = http.request("GET", f"{address}/api/v1/query?{words}")
    found: list[Any] = answer["data"]["result"]
    return found


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize("key", ["", "always"], ids=["no key", "a key"])
def test_prometheus_gets_the_figures_and_answers_every_query(service: Server, tmp_path: Path, key: str) -> None:
    """The real ones, of a service with two workers; also where it asks for keys."""
    with contextlib.ExitStack() as stack:
        server, presented = service, ""
        if key:
            home = tmp_path / "locked"
            settings = tiny.settings_for(home)
            tiny.publish(settings, "1")
            presented = keys.create(settings, ("admin",), "prometheus")
            server = stack.enter_context(serving(home, SERVING__REQUIRE_KEYS=key))
        address = stack.enter_context(prometheus(tmp_path, [f"127.0.0.1:{server.port}"], presented))
        wait_for(lambda: ask(address, 'up{job="refit"} == 1'), what="an answered scrape")
        wait_for(lambda: ask(address, "count_over_time(refit_workers[1m]) > 2"), what="three scrapes")
        for title, query in QUERIES.items():
            assert ask(address, query) is not None, title
        if not key:
            assert ask(address, 'refit_rows_total{model_version="1"}')[0]["value"][1] == "40"
            assert ask(address, 'sum(refit_workers{model_version="1"})')[0]["value"][1] == "2"
            assert float(ask(address, QUERIES["Time to answer, by quantile A"])[0]["value"][1]) >= 0
            firing = {one["metric"]["alertname"] for one in ask(address, "ALERTS")}
            assert firing == set()


def test_only_grafana_is_published_and_only_by_the_profile() -> None:
    """Prometheus asks for no login; Grafana gets no password that everyone knows."""
    found = {name: one for name, one in COMPOSE["services"].items() if "monitoring" in one.get("profiles", [])}
    assert set(found) == {"prometheus", "grafana"}
    assert "ports" not in found["prometheus"]
    assert found["grafana"]["ports"] == ["127.0.0.1:${GRAFANA_PORT:-3000}:3000"]
    assert all(one["cap_drop"] == ["ALL"] for one in found.values())
    for one in found.values():
        for volume in one["volumes"]:
            source, _, *mode = volume.split(":")
            assert mode == ["ro"] if source.startswith("./") else source in COMPOSE["volumes"], volume
            assert not source.startswith("./") or (ROOT / source).exists(), volume
    assert found["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"] == "${GRAFANA_ADMIN_PASSWORD:-}"


@pytest.mark.parametrize(("password", "code"), [("", 2), ("p4", 0)], ids=["none", "one"])
def test_grafana_does_not_start_without_a_password(tmp_path: Path, password: str, code: int) -> None:
    """The entrypoint's own shell, with another program in Grafana's place."""
    program = tmp_path / "run.sh"
    program.write_text("#!/bin/sh\necho started\n")
    program.chmod(0o755)
    shell, flag, script = COMPOSE["services"]["grafana"]["entrypoint"]
    words = [shell, flag, script.replace("$$", "$").replace("/run.sh", str(program))]
    environment = {"GF_SECURITY_ADMIN_PASSWORD": password, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (code, "started\n" if password else "")
    assert password or "set GRAFANA_ADMIN_PASSWORD in .env" in done.stderr


def test_prometheus_gets_its_key_in_a_file_of_its_own(tmp_path: Path) -> None:
    """The entrypoint's own shell, with another program in Prometheus's place: what it is started with."""
    service = COMPOSE["services"]["prometheus"]
    key = tmp_path / "key"
    (tmp_path / "prometheus").write_text('#!/bin/sh\necho "$@" "${KEY-no key}"\n')
    (tmp_path / "prometheus").chmod(0o755)
    shell, flag, script = service["entrypoint"]
    words = [shell, flag, script.replace("$$", "$").replace("/tmp/key", str(key))]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "KEY": "k3y"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert (key.read_text(), key.stat().st_mode & 0o777) == ("k3y", 0o600)
    assert "--config.file=/etc/refit/prometheus.yml --storage.tsdb.path=/prometheus" in done.stdout
    assert "no key" in done.stdout
    assert "./ops/monitoring/prometheus.yml:/etc/refit/prometheus.yml:ro" in service["volumes"]
    (job,) = PROMETHEUS["scrape_configs"]
    assert job["authorization"]["credentials_file"] in script


def test_prometheus_finds_every_container_of_the_service() -> None:
    """By the service's name in the file, on the port that it listens on, one target for each address."""
    (job,) = PROMETHEUS["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert found["names"] == ["service"]
    assert found["names"][0] in COMPOSE["services"]
    assert (found["type"], found["port"]) == ("A", 8000)


def test_grafana_reads_from_prometheus_and_finds_the_dashboard() -> None:
    (source,) = yaml.safe_load((FOLDER / "grafana" / "datasources.yaml").read_text())["datasources"]
    (provider,) = yaml.safe_load((FOLDER / "grafana" / "dashboards.yaml").read_text())["providers"]
    assert source["url"] == "http://prometheus:9090"
    used = {panel["datasource"]["uid"] for panel in BOARD["panels"] if "datasource" in panel}
    assert used == {source["uid"]}
    mounted = COMPOSE["services"]["grafana"]["volumes"]
    assert f"./ops/monitoring/grafana/dashboards:{provider['options']['path']}:ro" in mounted
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids))
