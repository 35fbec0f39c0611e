"""What the pages and /metrics know of the world outside of a worker: `var/serving/status.json`."""
