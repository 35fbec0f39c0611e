"""Training one candidate, and the grid of the course."""
