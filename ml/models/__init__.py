"""The model families. A new one is one file, one line in FAMILIES, and one search space.

Importing this package loads neither torch nor scikit-learn: a family loads its library when it builds.
"""

from ml.models.base import Family
from ml.models.families import BlendFamily, BoostingFamily, LogisticFamily, MLPFamily

# What a search may try.
FAMILIES: dict[str, Family] = {family.name: family for family in (LogisticFamily(), MLPFamily(), BoostingFamily())}

# What can be fitted, saved and loaded: also a weighted mean of candidates.
ALL_FAMILIES: dict[str, Family] = {**FAMILIES, "blend": BlendFamily(FAMILIES)}

__all__ = ["ALL_FAMILIES", "FAMILIES", "Family"]
