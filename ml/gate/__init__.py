"""The gate: the rules of promotion, the evidence that they are asked with, and the regression rows."""
