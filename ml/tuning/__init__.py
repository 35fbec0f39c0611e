"""hyperopt's TPE over all model families: reproducible, resumable, parallel.

`search` finds what to fit and `refit` fits it; `executors` is where another engine plugs in.

| module | what is in it |
|---|---|
| `ask_and_tell` | Ask and tell: which trial is run next, and what is known when it is chosen |
| `ensemble` | The ensemble: a weighted mean of the best candidates' probabilities, steadier than the luckiest one |
| `executors` | Trial executors: where trials run |
| `problem` | The problem of one search |
| `refit` | Fitting what a search chose, on all rows that it may learn from |
| `result` | The result of a search: the best candidate or a blend of the best, with its held-out probabilities |
| `space` | The search space in hyperopt's TPE: which configuration trial k tries, given what earlier trials gave |
| `study` | The search: baselines first, then TPE over all families, on the same folds for every trial |
| `trial` | One trial: what it found and its place on disk, and running it with the prune rule |
| `worker` | A trial worker: of one machine, and of a cluster |
"""

from ml.tuning.refit import Refitted, refit
from ml.tuning.result import TuneResult
from ml.tuning.study import search
from ml.tuning.trial import Trial

__all__ = ["Refitted", "Trial", "TuneResult", "refit", "search"]
