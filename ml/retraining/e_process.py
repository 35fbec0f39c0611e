"""The evidence against a champion, as an e-process: what a bet on newer models would have won since its promotion.

S(m) is the sum, over all rows labelled since the promotion, of the champion's log-loss minus that of the rehearsal m: a
window policy with a quick family, fitted anew at each check on rows whose labels were known before. The evidence is

    E = log of the mean, over the rehearsals m and over the checks k from which the bet begins, of exp(S(m) since k)

Were the champion's probabilities the true ones, exp(E) would be a supermartingale that starts at 1, and E would exceed
4.6 at any look, however many there are, with a probability of at most exp(-4.6) = 1% (Ville 1939). Why it is one:

- One row multiplies exp(S) by q(y)/p'(y), where p' = max(p, f) is what the champion is charged for the label y, with
  the floor f = `DRIFT_FLOOR`, and q is the rehearsal's, floored and made to sum to one. The expectation under p is the
  sum of p q/p', at most the sum of q, since p <= p', and that is 1. (Floored alone, the sum of q could exceed 1.) So no
  row counts for more than 9.3 nats either way.
- q is made of labels that came before the row's own, and the weights of the mean are fixed beforehand: 1/M for each of
  the M rehearsals that there may be, 1/(k(k+1)) for a beginning at check k. Money whose bet has not begun yet, and
  money on a rehearsal that cannot be fitted at a check, is kept: a factor of 1.
- Where labelled rows are weighed by inverse propensity, a row multiplies by (q/p')^w with w in [0, 1], its weight over
  the largest of the check: the expectation of x^w is at most 1 where that of x is (Jensen), and what is bet on is the
  gain over all answered rows. Label and chance of a label are independent given the row, as the chance was drawn.
- A mean of supermartingales is one. A row is counted once, in the check in which its label came first.

Late beginnings cost little (log(k(k+1)) nats at check k) and keep years in which the champion was the better one from
hiding that it is no longer. Sources: Ramdas et al. 2023, "Game-theoretic statistics and safe anytime-valid inference";
Shin, Ramdas and Rinaldo 2022, "E-detectors"; the decision is ski rental, as in CARA (Mahadevan and Mathioudakis 2024).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from ml.drift import backtest
from ml.drift.verdict import Rehearsal

WINDOWS = ("all", "sliding", "since drift")
Losses = NDArray[np.float64]


def add(
    before: Mapping[str, Rehearsal],
    checks: int,
    served: Losses,
    losses: Mapping[str, Losses],
    weight: Losses | None = None,
) -> dict[str, Rehearsal]:
    """The sums with one more check.

    Parameters
    ----------
    before
        After the checks before.
    checks
        How many there are with this one, from 1.
    served, losses
        (n,) log-losses of the champion, floored, and of each rehearsal (`ml.drift.backtest.losses`), on the rows whose
        first labels came since the check before.
    weight
        (n,) in [0, 1], known before the labels: each row's part of the bet; None: all of it.
    """
    w = np.ones(len(served)) if weight is None else weight
    return {
        name: _added(name, before.get(name), checks, served, losses, w)
        for name in sorted(before.keys() | losses.keys())
    }


def _added(
    name: str,
    before: Rehearsal | None,
    checks: int,
    served: Losses,
    losses: Mapping[str, Losses],
    weight: Losses,
) -> Rehearsal:
    begun = before.log_wealth if before else _log(1 - 1 / checks)  # kept so far: weights of the checks before
    wealth = float(np.logaddexp(begun, -math.log(checks * (checks + 1))))
    before = before or Rehearsal()
    if name not in losses:
        return msgspec.structs.replace(before, log_wealth=wealth)
    gain = float(weight @ (served - losses[name]))
    _, _, family = name.partition(" (")
    whole = losses.get(f"all ({family}")
    over = losses[name][:0] if whole is None else weight * (whole - losses[name])
    return Rehearsal(
        rows=before.rows + len(served),
        gain=before.gain + gain,
        log_wealth=wealth + gain,
        over_all=before.over_all + float(over.sum()),
        over_all_squares=before.over_all_squares + float((over**2).sum()),
        over_all_rows=before.over_all_rows + len(over),
    )


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf


def evidence(rehearsals: Mapping[str, Rehearsal], checks: int, families: int) -> float:
    """E in nats after so many `checks`, of all `rehearsals`; `families` are the quick ones that may be tried."""
    possible = max(len(WINDOWS) * families, len(rehearsals))
    not_begun = -math.log(checks + 1)
    held = [float(np.logaddexp(r.log_wealth, not_begun)) for r in rehearsals.values()]
    held += [0.0] * (possible - len(held))
    return float(np.logaddexp.reduce(held)) - math.log(possible)


def best(rehearsals: Mapping[str, Rehearsal]) -> str:
    """The rehearsal that the evidence is for; "" where there is none."""
    return max(rehearsals, key=lambda name: rehearsals[name].log_wealth, default="")


def window_by_sums(rehearsals: Mapping[str, Rehearsal], errors: float) -> str:
    """The window that did better than all rows by so many standard errors over all checks, in the family that did best.

    "all" where none did.
    """
    if not rehearsals:
        return "all"
    family = max(rehearsals, key=lambda name: rehearsals[name].gain).partition(" (")[2]
    found, most = "all", errors
    for name, sums in rehearsals.items():
        if name.endswith(f" ({family}") and (z := _z(sums)) > most:
            found, most = backtest.window_of(name), z
    return found


def _z(sums: Rehearsal) -> float:
    """How many of its standard errors the sum of paired differences is above 0."""
    variance = sums.over_all_squares - sums.over_all**2 / max(sums.over_all_rows, 1)
    return sums.over_all / math.sqrt(variance) if variance > 0 else 0.0
