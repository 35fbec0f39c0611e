"""The model families. A new one is one file, its state's record, one line in FAMILIES, one search space, and its name
in `train.families`.

Importing this package loads neither torch nor scikit-learn: a family loads its library when it builds.

| module | what is in it |
|---|---|
| `base` | What every model family offers, and what its estimators share |
| `blend` | A weighted mean of several candidates' probabilities: what tuning may choose over the single best |
| `boosting` | Histogram gradient boosting from scikit-learn: the honest yardstick in the same search |
| `catboost` | CatBoost, where it is installed |
| `estimator` | What the estimators of all families share: the scikit-learn interface around canonical rows |
| `families` | The families: baselines, grids and search spaces; light, so that a command line may list them |
| `lightgbm` | LightGBM, where it is installed |
| `logistic` | Logistic regression: the grid of the course report, and what larger tables need |
| `mlp` | The multilayer perceptron: a PyTorch network behind the scikit-learn estimator interface |
| `onnx` | ONNX graphs, written op by op |
| `preprocessing` | Preprocessing: fitted with the model and exported with it, as one graph |
| `trees` | What families of boosted trees share: prediction, export and state, made of their nodes |
| `state` | What a fitted estimator is saved as, beside its arrays, and how it describes itself: one record a family |
"""

from collections.abc import Collection
from importlib.util import find_spec

from ml.errors import TrainingError
from ml.messages import message
from ml.models.base import Family
from ml.models.families import BlendFamily, BoostingFamily, CatBoostFamily, LightGBMFamily, LogisticFamily, MLPFamily

# What a search may try.
FAMILIES: dict[str, Family] = {family.name: family for family in (LogisticFamily(), MLPFamily(), BoostingFamily())}
# Optional, where the library of their name is installed: what they made is loaded and served without it.
OPTIONAL: dict[str, Family] = {family.name: family for family in (LightGBMFamily(), CatBoostFamily())}
FAMILIES |= {name: family for name, family in OPTIONAL.items() if find_spec(name)}

# What can be fitted, saved and loaded: also a weighted mean of candidates.
ALL_FAMILIES: dict[str, Family] = {**FAMILIES, "blend": BlendFamily(FAMILIES)}

__all__ = ["ALL_FAMILIES", "FAMILIES", "Family", "refuse_unknown"]


def refuse_unknown(names: Collection[str], among: Collection[str] = FAMILIES) -> None:
    """Return where all are there.

    Parameters
    ----------
    names
        Of families, as `train.families` has them.
    among
        Those that there are.

    Raises
    ------
    TrainingError
        One is not there: with how to install it where it can be, and those that are there.
    """
    for name in names:
        if name not in among:
            code = "training.family_not_installed" if name in OPTIONAL else "training.unknown_family"
            raise TrainingError(message(code, family=name, families=list(among)))
