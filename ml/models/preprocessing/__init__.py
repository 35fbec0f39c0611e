"""Preprocessing: fitted with the model and exported with it, as one graph."""
