"""Write docs/settings.md from the declarations in `ml.settings`: `.venv/bin/python docs/settings.py`.

A test fails while the page is behind the code.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "settings.md"
INTRODUCTION = """# Settings

Everything that can be set, made from the declarations in `ml.settings`. A setting stands in `refit.toml`, in the
section of its heading; the variable of the environment, of the same meaning, wins over it. Lists are separated by
commas there, or JSON; mappings are JSON. An unknown name is an error that names it.

`REFIT_HOME` (environment alone) is the folder of `data/`, `models/` and `var/`; `REFIT_CONFIG` names another
`refit.toml`. What `./run_pipeline.sh --data …` was told last lies in `var/settings.json`, between the two.
"""


def page() -> str:
    """The Markdown of the page."""
    sys.path.insert(0, str(ROOT))
    from ml.settings import Settings, toml

    sections = toml.sections(Settings())
    parts = [INTRODUCTION, _table("", toml.declarations(Settings(), {"home", *sections}))]
    for name, section in sections.items():
        title = " ".join((inspect.getdoc(section) or "").split())
        parts += [f"## {name}\n\n{title}\n", _table(name, toml.declarations(section))]
    return "\n".join(parts)


def _table(section: str, settings: Iterator[tuple[str, str, str]]) -> str:
    rows = ["| setting | default | what it means | variable |", "|---|---|---|---|"]
    for name, value, note in settings:
        variable = f"REFIT_{section.upper()}__{name.upper()}" if section else f"REFIT_{name.upper()}"
        shown = f"`{value}`" if value else ""
        rows.append(
            " | ".join(["", *(_cell(text) for text in (f"`{name}`", shown, note, f"`{variable}`")), ""]).strip()
        )
    return "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
