"""hyperopt's TPE over all model families: reproducible, resumable, parallel.

`search` finds what to fit and `refit` fits it; `executors` is where another engine plugs in.
"""

from ml.tuning.refit import Refitted, refit
from ml.tuning.result import TuneResult
from ml.tuning.study import search
from ml.tuning.trial import Trial

__all__ = ["Refitted", "Trial", "TuneResult", "refit", "search"]
