"""`ml status`: the services that registered themselves."""

from __future__ import annotations

from pathlib import Path

from ml.cli import status
from ml.fleet import services
from ml.fleet.services import Loaded, State
from ml.settings import from_values


def test_services_are_listed_with_version_and_last_heartbeat(tmp_path: Path, postgresql_url: str) -> None:
    for name, state in (
        ("a", State(workers=(Loaded("2"), Loaded("2"), Loaded("1")))),
        ("b", State(workers=(Loaded("1"),), out="it is behind")),
    ):
        services.beat(from_values({"home": str(tmp_path / name), "database_url": postgresql_url}), name, state)
    first, second = status._registered(
        services.known(from_values({"home": str(tmp_path), "database_url": postgresql_url}))
    )
    assert (first.versions, first.stale, first.address) == ({"2": 2, "1": 1}, False, "http://127.0.0.1:8000")
    told = [status._registered_service(one).replace(f"{one.seen_s_ago:g}", "0") for one in (first, second)]
    assert told == [
        "version 2 on 2 workers, version 1 on 1 workers, heard of 0 s ago",
        "OUT OF ROTATION, version 1 on 1 workers, heard of 0 s ago: it is behind",
    ]
