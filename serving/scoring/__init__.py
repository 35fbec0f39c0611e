"""Scoring: from a request's rows or an uploaded table to the answer."""
