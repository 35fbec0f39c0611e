"""hyperopt's TPE over all model families: reproducible, resumable, parallel.

`search` is the door; `executors` is where another engine plugs in.
"""

from ml.tuning.search import TuneResult, search
from ml.tuning.trials import Trial

__all__ = ["Trial", "TuneResult", "search"]
