"""Retraining: which rows it learns from, when it pays, and what holds it back."""
