"""The generated customers: reproducible, learnable, and drifting on demand."""

import numpy as np
import pandas as pd

from ml.data.sources import customers


def chance(frame_seed: int, *, shift: float = 0.0, concept: float = 0.0, of: float = 0.0) -> np.ndarray:
    """The true chance to leave, by the reasons of concept `of`, in a population drawn with `shift`."""
    hidden = customers._population(20_000, np.random.default_rng(frame_seed), shift)
    return customers.churn_probability(hidden, of if of else concept)


def test_the_same_seed_gives_the_same_rows() -> None:
    pd.testing.assert_frame_equal(customers.make(50, 1), customers.make(50, 1))
    assert not customers.make(50, 1).equals(customers.make(50, 2))


def test_the_table_has_mixed_types_missing_values_an_id_and_a_time() -> None:
    frame = customers.make(2_000, 1)
    assert frame[customers.ID].is_unique
    assert pd.to_datetime(frame[customers.TIME]).is_monotonic_increasing
    assert set(frame.columns[frame.isna().any()]) == {"age", "region", "payment", "usage_trend"}
    assert frame["paperless"].dtype == bool
    assert 0.25 < (frame[customers.TARGET] == "yes").mean() < 0.45


def test_the_best_possible_accuracy_is_between_85_and_90_percent() -> None:
    p = chance(1)
    assert 0.85 < np.maximum(p, 1 - p).mean() < 0.90


def test_shift_moves_customers_and_concept_moves_reasons() -> None:
    usual, shifted = customers.make(4_000, 1), customers.make(4_000, 1, shift=1.0)
    assert shifted["age"].mean() < usual["age"].mean() - 5
    turned = customers.make(4_000, 1, concept=1.0)
    inputs = usual.columns.drop(customers.TARGET)
    pd.testing.assert_frame_equal(usual[inputs], turned[inputs])
    p, q = chance(1), chance(1, concept=1.0)
    assert np.where(p > 0.5, q, 1 - q).mean() < 0.6
    assert np.maximum(q, 1 - q).mean() > 0.8


def test_moments_follow_the_start() -> None:
    moments = pd.to_datetime(customers.make(100, 1, start_time="2027-05-01", days=10)[customers.TIME])
    assert moments.min() == pd.Timestamp("2027-05-01")
    assert moments.max() < pd.Timestamp("2027-05-11")
