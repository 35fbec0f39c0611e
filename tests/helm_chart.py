"""`python -m tests.helm_chart` renders ops/helm/refit into ops/helm/rendered.yaml, which tests/ops/test_helm.py reads.

The ordinary suite has no Helm. This needs `helm` on PATH, or `pip install helm-python-sdk` in an environment of its own
(`helm_python`, Helm 4's library, 244 MB). It lints strictly first, and validates against the schemas of Kubernetes
where `pip install kubernetes-validate` was done too. The head of the file has the chart's hash, so that one that was
not rendered again is noticed.
"""

from __future__ import annotations

import hashlib
import importlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "ops" / "helm" / "refit"
RENDERED = ROOT / "ops" / "helm" / "rendered.yaml"
RELEASE = "refit"
VERSIONS = ("1.27", "1.31", "1.33")  # of Kubernetes; `kubeVersion` of Chart.yaml is the first


def head() -> str:
    """The first line of the rendered file: a hash over the chart's files."""
    found = hashlib.sha256()
    for path in sorted(path for path in CHART.rglob("*") if path.is_file()):
        found.update(path.relative_to(CHART).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"# Made by python -m tests.helm_chart of the chart {found.hexdigest()}\n"


def render() -> list[dict[str, Any]]:
    """The manifests with the values as they are, by Helm, linted before."""
    if shutil.which("helm"):
        subprocess.run(["helm", "lint", "--strict", CHART], check=True)
        command = ["helm", "template", RELEASE, CHART, "--namespace", RELEASE]
        texts = [subprocess.run(command, check=True, capture_output=True, text=True).stdout]
    else:
        library = importlib.import_module("helm_python")
        found = library.lint(str(CHART), strict=True)
        if found["errors"]:
            raise SystemExit(str(found["errors"]))
        texts = list(library.Chart.load(str(CHART)).render(name=RELEASE, namespace=RELEASE).values())
    documents = [document for text in texts for document in yaml.safe_load_all(text) if document]
    return sorted(documents, key=lambda document: (document["kind"], document["metadata"]["name"]))


def validate(documents: list[dict[str, Any]]) -> str:
    """Against the schemas; what was done, for people."""
    try:
        library = importlib.import_module("kubernetes_validate")
    except ImportError:
        return "not validated: kubernetes-validate is not installed"
    for document in documents:
        for version in VERSIONS:
            library.validate(document, version, strict=True)
    return f"{len(documents)} manifests are valid for Kubernetes {', '.join(VERSIONS)}"


def main() -> None:
    """Write the file."""
    documents = render()
    print(validate(documents))
    RENDERED.write_text(head() + yaml.safe_dump_all(documents, sort_keys=True), encoding="utf-8")
    print(f"{RENDERED.relative_to(ROOT)}: {len(documents)} manifests")


if __name__ == "__main__":
    sys.exit(main())
