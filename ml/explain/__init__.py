"""Explanations: Shapley values of the raw columns, and counterfactuals."""
