"""Explanations: Shapley values of the raw columns, and counterfactuals.

| module | what is in it |
|---|---|
| `background` | The background of one model's explanations, summarised |
| `counterfactuals` | Counterfactuals: the nearest single-column changes of a row that flip its label |
| `explainer` | Shapley explanations: attributions of the raw columns that add up to a row's score, for any model |
| `shapley` | The game behind an explanation: what a set of known columns is worth, and walks that share it out |
"""
