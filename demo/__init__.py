"""The closed loop, shown: a simulated customer base against the running stack, and a world that changes.

    ./run_pipeline.sh --demo-drift

`python -m demo` is the same against a stack that runs already with `REFIT_DATA__SOURCE=customers`.
"""

from __future__ import annotations

from pathlib import Path

from ml.settings import Settings

__all__ = ["run"]


def run(settings: Settings, *, reports: Path | None = None) -> int:
    """Play all phases; returns the exit code: 0 when the loop noticed, retrained and recovered.

    Parameters
    ----------
    reports
        Where picture and numbers go; `var/reports` by default.
    """
    from demo import script  # pandas and Matplotlib: not at import

    return script.run(settings, reports=reports)
