"""The schema: what a row is, how cells and rows are read against it, and what is wrong with those that do not fit."""
