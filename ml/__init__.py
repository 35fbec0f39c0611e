"""Refit's library: everything between a customer's table and a judged, servable model.

Runs without Airflow and without Flask. Importing it has no side effect and costs nothing:
heavy libraries are imported inside the functions that need them.
"""
