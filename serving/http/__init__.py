"""HTTP: the gunicorn worker of the service, its connections, and the fast path.

| module | what is in it |
|---|---|
| `connection` | One client connection of the fast worker: what has been read, what is to be written, until when |
| `connections` | The connections of the fast worker: requests in, answers out, and when to hang up |
| `fast_path` | The fast path: `POST /predict` from parsed head and body to response bytes, past Flask |
| `http1` | HTTP/1.1 parsing on gunicorn's C parser: where a request ends, and what is refused because it is ambiguous |
| `worker` | A gunicorn worker for short requests on kept connections: one thread, epoll, the fast path inline |
| `wsgi` | One WSGI call: the environ of a request, and the application's answer as bytes or as a file to send |
"""
