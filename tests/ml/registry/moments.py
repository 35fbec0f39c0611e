"""A process that is killed before and after each write to the ledger and to MLflow, in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import mlflow
import pytest

from ml.errors import PromotionError
from ml.registry import ledger
from tests.ml.registry.versions import Killed

WRITES = [
    (ledger, "append"),
    *(
        (mlflow.MlflowClient, f"{verb}_{what}")
        for verb in ("set", "delete")
        for what in ("registered_model_alias", "model_version_tag")
    ),
]


@contextmanager
def killed_at(moment: int) -> Iterator[list[str]]:
    """Kill before (even) or after (odd) the write number `moment // 2`; gives the writes that began."""
    begun: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in WRITES:
            patch.setattr(owner, name, _counted(getattr(owner, name), name, begun, moment))
        yield begun


def _counted(write: Callable[..., Any], name: str, begun: list[str], moment: int) -> Callable[..., Any]:
    def counted(*args: Any, **more: Any) -> Any:
        begun.append(name)
        place = 2 * (len(begun) - 1)
        if place == moment:
            raise Killed
        result = write(*args, **more)
        if place + 1 == moment:
            raise Killed
        return result

    return counted


def every_moment(act: Callable[[], Any], then: Callable[[], None]) -> int:
    """Kill `act` at its first moment and do `then`, at its second, …; returns how many moments it has."""
    for moment in range(100):
        with killed_at(moment):
            try:
                act()
            except Killed:
                pass
            except PromotionError:
                return moment
            else:
                return moment
        then()
    raise AssertionError("it does not end")
