"""The commands that a person here types: those of a checkout, or `refit` where it is installed by name."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INSTALLED = ROOT.parts[-2:] == ("refit", "tree")  # as the wheel lays the checkout down
# In order: the longer before what it begins with.
_WORDS = (
    ("./run_pipeline.sh --start", "refit start"),
    ("./run_pipeline.sh --status", "refit status"),
    ("./run_pipeline.sh --stop", "refit down"),
    ("./run_pipeline.sh --cancel", "refit cancel"),
    ("./run_pipeline.sh --demo-drift", "refit demo"),
    ("./run_pipeline.sh", "refit up"),
    ("./mlflow_ui.sh", "refit mlflow"),
    ("python predict_client.py", "refit predict"),
    ("python -m ml status", "refit versions"),
    ("python -m ops.backup", "refit backup"),
    ("python -m ml", "refit"),
    (".venv/bin/pip install {family}", "pip install 'refit-classifier[{family}]'"),  # of a template
    ("pip install -r requirements-engine.txt", "pip install 'refit-classifier[engine]'"),
)


def spoken(text: str, *, installed: bool = INSTALLED) -> str:
    """The text with its commands as they are typed here.

    >>> spoken("run: python -m ml generate, or ./run_pipeline.sh --stop", installed=True)
    'run: refit generate, or refit down'
    """
    if installed:
        for ours, theirs in _WORDS:
            text = text.replace(ours, theirs)
    return text
