"""What a fitted estimator is saved as, beside its arrays, and how it describes itself: one record a family."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from numpy.typing import NDArray

from ml.models.base import Params
from ml.models.preprocessing.state import State

Arrays = dict[str, NDArray[Any]]
Label = bool | int | float | str


class Architecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that decides the shapes of the network; JSON-able.

    `members` networks with weights of their own are trained together and their probabilities averaged (a deep
    ensemble). `embedding_width` 0 feeds the piecewise code as it is.

    **Source** ensembles of networks: Lakshminarayanan, Pritzel & Blundell 2017. What was tried and did not pay in
    `bench/ablation.py` (weights shared by the members, normalisation, periodic embeddings) is in docs/models.md.
    """

    n_numbers: int
    n_flags: int
    n_levels: int
    n_classes: int
    hidden: tuple[Annotated[int, msgspec.Meta(ge=1)], ...] = (64, 64)
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    embedding: Literal["none", "piecewise"] = "none"
    bins: Annotated[int, msgspec.Meta(ge=1)] = 8
    embedding_width: Annotated[int, msgspec.Meta(ge=0)] = 0
    members: Annotated[int, msgspec.Meta(ge=1)] = 1


class FittedState(msgspec.Struct, frozen=True, kw_only=True, tag_field="family"):
    """What every family saves: its constructor's arguments, the classes in order, the fitted preprocessing."""

    params: Params
    classes: tuple[Label, ...]
    preprocessor: State


class LogisticState(FittedState, frozen=True, kw_only=True, tag="logistic"):
    """`seen`: the class codes that training showed, increasing."""

    seen: tuple[int, ...]


class TreesState(FittedState, frozen=True, kw_only=True):
    """`seen`: the class codes that training showed, increasing."""

    seen: tuple[int, ...]


class BoostingState(TreesState, frozen=True, kw_only=True, tag="hist_gradient_boosting"):
    """Of scikit-learn's histogram gradient boosting."""


class LightGBMState(TreesState, frozen=True, kw_only=True, tag="lightgbm"):
    """Of LightGBM."""


class CatBoostState(TreesState, frozen=True, kw_only=True, tag="catboost"):
    """Of CatBoost."""


class MLPState(FittedState, frozen=True, kw_only=True, tag="mlp"):
    """The network's shape and the epoch whose weights were kept."""

    architecture: Architecture
    best_epoch: int


class BlendState(msgspec.Struct, frozen=True, kw_only=True, tag_field="family", tag="blend"):
    """The members, each as its own family saves it, and one weight each."""

    members: tuple[LogisticState | BoostingState | LightGBMState | CatBoostState | MLPState, ...]
    weights: tuple[float, ...]
    classes: tuple[Label, ...]


AnyState = LogisticState | BoostingState | LightGBMState | CatBoostState | MLPState | BlendState


class Structure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Content of structure.json: what an estimator says of itself; what a family does not have is left out.

    `parameters` counts what was learned (nodes in trees), `inputs` the columns after encoding; `weight` is a
    member's in a blend; `coefficients` maps a dense column to the largest size of its coefficients.
    """

    weight: float | None = None
    family: str
    parameters: int
    inputs: int | None = None
    solver: str = ""
    C: float | None = None
    coefficients: dict[str, float] = {}
    trees: int | None = None
    rounds: int | None = None
    architecture: Architecture | None = None
    layers: dict[str, list[int]] = {}
    best_epoch: int | None = None
    epochs: int | None = None
    members: tuple[Structure, ...] = ()
