"""What the service tells its callers, and whoever runs it.

| module | what is in it |
|---|---|
| `connections` | What others answer: an address of the network, MLflow, another process |
| `http` | What is wrong with the HTTP of a request |
| `protocols` | What is wrong with a request of MLflow's or the Open Inference Protocol |
| `requests` | What is wrong with a request, and why one is not answered |
"""
