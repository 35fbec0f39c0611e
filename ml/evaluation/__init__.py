"""How good a model is, how far its probabilities can be believed, and where to cut them.

`evaluate` measures (each metric with a bootstrap interval, per class, per slice); `decide` turns
out-of-fold probabilities into a `Decision` (calibration and threshold, never from the same rows).
"""

from ml.evaluation.calibration import calibrate
from ml.evaluation.curves import curves
from ml.evaluation.report import evaluate
from ml.evaluation.threshold import choose_threshold, decide

__all__ = ["calibrate", "choose_threshold", "curves", "decide", "evaluate"]
