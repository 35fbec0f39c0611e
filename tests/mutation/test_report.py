"""The mutation run's report: what fails it."""

from __future__ import annotations

import pytest

from tests.mutation.__main__ import NO_TEST, NOT_RUN, SURVIVED, Mutant, _changed, _function, _report

KILLED = [Mutant("f", f"line {i}", 1) for i in range(19)]
ALIVE = Mutant("f", "return 1", SURVIVED)


@pytest.mark.parametrize(
    ("mutants", "listed", "bad"),
    [
        ([*KILLED, ALIVE], {ALIVE.key: False}, 0),
        ([*KILLED, ALIVE], {}, 1),
        ([*KILLED, Mutant("f", "return 1", NO_TEST)], {}, 1),
        ([*KILLED, Mutant("f", "return 1", NOT_RUN)], {}, 1),
        ([*KILLED, ALIVE], {ALIVE.key: False, "f: gone": True}, 1),
        ([*KILLED, ALIVE], {ALIVE.key: False, KILLED[0].key: True}, 0),
        ([*KILLED[:18], ALIVE], {ALIVE.key: False}, 1),
        ([*KILLED[:18], ALIVE], {ALIVE.key: True}, 0),
    ],
    ids=["listed", "not listed", "no test", "not run", "stale", "noticed now", "below the goal", "equivalent"],
)
def test_what_fails_the_run(mutants: list[Mutant], listed: dict[str, bool], bad: int) -> None:
    assert _report("m", mutants, listed) == bad


def test_a_change_is_named_by_its_text() -> None:
    """Without its number and its place, which an edit elsewhere would shift."""
    assert _function("ml.gate.rules.x_judge__mutmut_3") == "judge"
    assert _function("ml.gate.rules.xǁVerdictǁplain__mutmut_12") == "Verdict.plain"
    assert _changed("--- a\n+++ b\n@@ -1 +1 @@\n     x = 1\n-    return x\n+    return None\n") == "return None"
    assert _changed("--- a\n+++ b\n-    return x\n") == "without return x"
