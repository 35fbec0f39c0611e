"""How good a model is, how far its probabilities can be believed, and where to cut them.

`evaluate` measures (each metric with a bootstrap interval, per class, per slice); `decide` turns
out-of-fold probabilities into a `Decision` (calibration and threshold, never from the same rows).

| module | what is in it |
|---|---|
| `bootstrap` | Bootstrap of everything at once: one matrix of resampling weights, every metric a product with it |
| `bounds` | Confidence bounds: of a mean by the studentised bootstrap, of a share by Wilson's interval |
| `calibration` | Choosing and fitting a calibration on rows that the model was not trained on |
| `curves` | The points behind the curves of a model: ROC, precision and recall, calibration |
| `metrics` | The metrics, each for many weightings of the same rows at once |
| `report` | The evaluation: all that is measured of a model on one set of rows |
| `slices` | Slices: the same metrics on parts of the rows: each level of a category, each quarter of a number's range |
| `threshold` | The decision threshold: where to cut the positive class's probability, and what that is chosen for |
| `two_sample` | Two-sample tests with effect sizes, and the correction for many columns |
"""

from ml.evaluation.calibration import calibrate
from ml.evaluation.curves import curves
from ml.evaluation.report import evaluate
from ml.evaluation.threshold import choose_threshold, decide

__all__ = ["calibrate", "choose_threshold", "curves", "decide", "evaluate"]
