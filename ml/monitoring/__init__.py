"""Monitoring: the drift check, how things stand, and the reports of both."""
