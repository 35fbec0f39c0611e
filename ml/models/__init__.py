"""The model families. A new one is one file, one line in FAMILIES, and one search space.

Importing this package loads neither torch nor scikit-learn: a family loads its library when it builds.
"""

from ml.models.base import Family
from ml.models.spaces import BoostingFamily, LogisticFamily, MLPFamily

FAMILIES: dict[str, Family] = {family.name: family for family in (LogisticFamily(), MLPFamily(), BoostingFamily())}

__all__ = ["FAMILIES", "Family"]
