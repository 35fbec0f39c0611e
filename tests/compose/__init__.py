"""The real docker-compose.yaml on a container engine: `./run_tests.sh --compose`.

The ordinary suite does not collect this package (`norecursedirs` in pyproject.toml): it needs an engine, images of
several gigabytes and more than an hour.

| module | what it is |
|---|---|
| `cluster` | the file, brought up under a project's name and ports of its own |
"""
