"""The closed loop, shown: a simulated customer base against the running stack, and a world that changes.

    ./run_pipeline.sh --demo-drift

`python -m ml.demo` is the same against a stack that runs already with `REFIT_DATA__SOURCE=customers`.
"""

from __future__ import annotations

from ml.settings import Settings

__all__ = ["run"]


def run(settings: Settings) -> int:
    """Play all phases; returns the exit code: 0 when the loop noticed, retrained and recovered."""
    from ml.demo import script  # pandas and Matplotlib: not at import

    return script.run(settings)
