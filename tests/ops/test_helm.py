"""The Helm chart says what docker-compose.yaml says. Rendered by tests/helm_chart.py; no cluster was at hand."""

from __future__ import annotations

import configparser
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops import airflow_config
from tests import helm_chart

ROOT = Path(__file__).resolve().parent.parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text(encoding="utf-8"))["services"]
AIRFLOW: dict[str, Any] = yaml.safe_load((ROOT / "ops" / "helm" / "airflow-values.yaml").read_text(encoding="utf-8"))
TEXT = helm_chart.RENDERED.read_text(encoding="utf-8")
MANIFESTS = {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(TEXT)}
# In a Secret, of which the chart knows the name alone.
SECRET = {"REFIT_DATABASE_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
# A Secret too, as files: its private half for the tasks, its public one for the services.
SIGNING = {"REFIT_REGISTRY__SIGNING_KEY", "REFIT_REGISTRY__TRUSTED_KEYS"}
DEPLOYMENTS = sorted(name for kind, name in MANIFESTS if kind == "Deployment")


def _pod(deployment: str) -> dict[str, Any]:
    return dict(MANIFESTS["Deployment", deployment]["spec"]["template"]["spec"])


def _containers(deployment: str) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in _pod(deployment)["containers"]}


def _command(container: dict[str, Any]) -> list[str]:
    tini, dashes, *words = container["command"]
    assert (tini, dashes) == ("tini", "--"), "the image's entrypoint, which `command` replaces"
    return list(words)


def _default(value: str) -> str:
    """What compose takes where .env says nothing."""
    return re.sub(r"\$\{\w+:-([^{}]*)\}", r"\1", value)


def test_the_chart_was_rendered_again_after_its_last_change() -> None:
    assert TEXT.startswith(helm_chart.head()), "run `python -m tests.helm_chart`"


def test_every_setting_of_compose_is_one_of_the_chart() -> None:
    """By name; and by default where it is not the address of something."""
    shared = {
        name: _default(value)
        for name, value in COMPOSE["worker"]["environment"].items()
        if not name.startswith("AIRFLOW__")
    }
    chart = MANIFESTS["ConfigMap", "refit-environment"]["data"]
    assert set(chart) | SECRET | SIGNING == set(shared)
    assert not set(chart) & (SECRET | SIGNING)
    assert "REFIT_REGISTRY__SIGNING_KEY" in {one["name"] for one in AIRFLOW["env"]}
    addresses = {name for name in chart if "//" in chart[name]}
    # Compose asks .env for the storage; here the workers' folder stands for it until it is named.
    assert shared.pop("REFIT_STORAGE__URL").startswith("${REFIT_STORAGE__URL?")
    assert chart["REFIT_STORAGE__URL"] == ""
    alike = set(chart) - addresses - {"REFIT_STORAGE__URL"}
    assert {name: chart[name] for name in alike} == {name: shared[name] for name in alike}


def test_the_services_own_settings_are_those_of_compose() -> None:
    own = set(COMPOSE["service"]["environment"]) - set(COMPOSE["worker"]["environment"])
    for container in _containers("refit-service").values():
        # In compose all have it from .env; here it is a Secret, which only the services' pods name.
        assert {one["name"] for one in container["env"]} == own | {"REFIT_REGISTRY__TRUSTED_KEYS"}


def test_a_pod_runs_what_a_container_of_compose_runs() -> None:
    """There one supervisor has the three; here each is a container, on the pod's own disk."""
    assert COMPOSE["service"]["command"] == ["supervisord", "-c", "ops/service.conf"]
    programs = configparser.RawConfigParser()
    programs.read(ROOT / "ops" / "service.conf", encoding="utf-8")
    wanted = {
        name.removeprefix("program:"): shlex.split(programs[name]["command"])
        for name in programs.sections()
        if name.startswith("program:")
    }
    assert {name: _command(container) for name, container in _containers("refit-service").items()} == wanted
    assert {"name": "state", "emptyDir": {"sizeLimit": "10Gi"}} in _pod("refit-service")["volumes"]
    assert f"{_pod('refit-service')['terminationGracePeriodSeconds']}s" == COMPOSE["service"]["stop_grace_period"]


def test_mlflow_is_started_as_in_compose() -> None:
    def told(words: list[str]) -> list[str]:
        return [word for word in words if not word.startswith("--allowed-hosts=")]

    (container,) = _containers("refit-mlflow").values()
    assert told(_command(container)) == told(COMPOSE["mlflow"]["command"])


def test_a_pod_is_ready_by_its_version() -> None:
    probe = _containers("refit-service")["service"]["readinessProbe"]
    assert probe["httpGet"]["path"] == "/health/ready"


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_no_container_may_more_than_it_needs(deployment: str) -> None:
    pod = _pod(deployment)
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        allowed = container["securityContext"]
        assert allowed == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        assert container["resources"]["limits"]["memory"]
        mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert {"/state", "/tmp"} <= mounted, "all else is read-only"


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
def test_who_may_ask_is_said_for_each(deployment: str) -> None:
    policy = MANIFESTS["NetworkPolicy", deployment]["spec"]
    labels = MANIFESTS["Deployment", deployment]["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["policyTypes"] == ["Ingress"]
    assert all(rule["from"] and rule["ports"] for rule in policy["ingress"])


def test_airflow_has_what_closes_the_loop() -> None:
    """`SHARED`, which compose has too, and compose's own of the options that are no address and no secret."""
    config = {section: dict(options) for section, options in AIRFLOW["config"].items()}
    for section, options in airflow_config.SHARED.items():
        assert {name: config[section].get(name) for name in options} == {
            name: str(value) for name, value in options.items()
        }
    compose = COMPOSE["worker"]["environment"]
    for section, options in config.items():
        for name, value in options.items():
            # The folder of DAGs is the image's, by its ENV.
            assert name == "dags_folder" or compose[f"AIRFLOW__{section}__{name}".upper()] == value
    assert compose["AIRFLOW__CORE__EXECUTOR"] == AIRFLOW["executor"]


def test_airflows_tasks_get_the_same_settings_secrets_and_folder() -> None:
    sources = yaml.safe_load(AIRFLOW["extraEnvFrom"])
    values = yaml.safe_load((helm_chart.CHART / "values.yaml").read_text(encoding="utf-8"))
    assert sources == [
        {"configMapRef": {"name": "refit-environment"}},
        {"secretRef": {"name": values["secretName"]}},
    ]
    claims = [one["persistentVolumeClaim"]["claimName"] for one in AIRFLOW["volumes"] if "secret" not in one]
    assert claims == [name for kind, name in MANIFESTS if kind == "PersistentVolumeClaim"]
    image = AIRFLOW["images"]["airflow"]
    assert f"{image['repository']}:{image['tag']}" == values["image"]["refit"]
