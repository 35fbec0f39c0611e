"""Look after the release: a new champion that proves worse goes back, a challenger in shadow is decided on.

The one step of a drift check that may move the alias. It comes first: a champion that goes back or gives way is not
the one to compare.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ml.drift.verdict import Shadow
from ml.messages import Message, message
from ml.release import bake as baking
from ml.release import shadow_test
from ml.release.bake import Baking
from ml.settings import Settings
from ml.storage import clock


class ReleaseWatch(msgspec.Struct, frozen=True, kw_only=True):
    """What one look found: None for a bake or a shadow test that there is not, or that has too few labels yet."""

    bake: Baking | None = None
    shadow: Shadow | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, with the sentence."""
        fields: dict[str, Any] = msgspec.to_builtins(self)
        for name, found in (("bake", self.bake), ("shadow", self.shadow)):
            if found is not None:
                fields[name]["sentence"] = found.sentence
        return fields | {"sentence": self.sentence}

    @property
    def message(self) -> Message:
        """What was found, for people."""
        messages = [self.shadow.message] if self.shadow else []
        if self.bake:
            code = "release.went_back" if self.bake.rolled_back else "release.stays"
            messages.insert(0, message(code, found=self.bake.message))
        return message("release.because", parts=messages) if messages else message("release.nothing_to_watch")

    @property
    def sentence(self) -> str:
        """The message in English."""
        return self.message.text


def watch(settings: Settings, *, now: float | None = None) -> ReleaseWatch:
    """Judge the champion if it is new, and then the challenger in shadow once enough labels have come.

    Parameters
    ----------
    now
        Seconds; the clock (`ml.storage.clock`) by default.

    Raises
    ------
    StoreUnavailable, RegistryUnavailable
        The call may be made again: a move that was begun is finished, and none is made twice.
    """
    from ml.registry import outside_moves

    now = clock.now(settings) if now is None else now
    outside_moves.notice(settings)
    bake = baking.watch(settings, now)
    return ReleaseWatch(bake=bake, shadow=shadow_test.watch(settings, now))
