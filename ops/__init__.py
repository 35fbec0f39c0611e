"""Running Refit on one machine: the environment, the supervised stack, and the one command over both.

Uses `ml.settings` for where things are; imports neither Airflow nor MLflow.
"""
