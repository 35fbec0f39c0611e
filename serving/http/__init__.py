"""HTTP: the gunicorn worker of the service, its connections, and the fast path."""
