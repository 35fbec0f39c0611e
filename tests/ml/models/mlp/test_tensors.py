"""Rows in tensors: taking them in another order, in new memory or in old."""

import torch

from ml.models.mlp.tensors import Table


def test_rows_are_taken_into_memory_that_is_there() -> None:
    """A column block without columns, and weights or none."""
    table = Table(
        torch.arange(12.0).reshape(6, 2), torch.empty(6, 0), torch.arange(6).reshape(6, 1), torch.arange(6),
        torch.linspace(0, 1, 6),
    )  # fmt: skip
    first, second = torch.tensor([[5, 1], [0, 3]]), torch.tensor([[2, 2], [4, 0]])
    taken = table.take(first)
    again = table.take(second, taken)
    assert again is taken
    for rows, made in zip(table, again, strict=True):
        assert torch.equal(made, rows[second])
    assert table._replace(weight=None).take(first).weight is None
    assert taken.flags.shape == (2, 2, 0)
