"""What the service and the engine tell their callers, and whoever runs them.

| module | what is in it |
|---|---|
| `connections` | What others answer: an address of the network, MLflow, another process |
| `engine` | Why the engine, a Dask cluster, did not do what it was asked |
| `http` | What is wrong with the HTTP of a request |
| `protocols` | What is wrong with a request of MLflow's or the Open Inference Protocol |
| `requests` | What is wrong with a request, and why one is not answered |
"""
