"""Write docs/rest-api.md from the service's own OpenAPI document: `.venv/bin/python docs/rest_api.py`.

A test fails while the page is behind the code.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "rest-api.md"
INTRODUCTION = """# REST API

Generated from the service's OpenAPI document; a running service has it at `/openapi.json`, with the columns of
the model that it serves, and as a page at `/docs`. Errors are `application/problem+json` with a status, a title
and a detail that names the place.
"""


def page() -> str:
    """The Markdown of the page."""
    sys.path.insert(0, str(ROOT))
    from ml.settings import Settings
    from serving.api import openapi, operations
    from serving.app import create_app

    document = openapi.document(
        operations.of(create_app(Settings())),
        None,
        model_name="One_Customer_Classifier",
        model_version="",
        max_rows=10_000,
        keys=True,
    )
    parts = [INTRODUCTION]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if not isinstance(operation, dict):
                continue
            parts.append(f"\n## `{method.upper()} {path}`\n\n{operation.get('summary', '')}\n")
            if operation.get("description"):
                parts.append(f"\n{operation['description']}\n")
            parts.append(_table(operation))
    return "".join(parts)


def _table(operation: dict[str, Any]) -> str:
    takes = ", ".join(f"`{kind}`" for kind in operation.get("requestBody", {}).get("content", {})) or "–"
    rows = [f"\nTakes: {takes}\n\n| answer | when |\n|---|---|\n"]
    for status, answer in operation["responses"].items():
        kinds = ", ".join(f"`{kind}`" for kind in answer.get("content", {}))
        rows.append(f"| {status} {kinds} | {answer.get('description', '')} |\n")
    return "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
