"""Lets the API reference show examples (`>>>`) that stand in a docstring without a heading of their own."""

from __future__ import annotations

import re
from typing import Any

import griffe

_FIRST = re.compile(r"^( *)>>> ", re.MULTILINE)
_HEADING = re.compile(r"^ *Examples\n *-+\n", re.MULTILINE)


class Examples(griffe.Extension):
    """Puts numpydoc's heading before the first example, or Markdown would take `>>>` for quotations."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for every module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = with_heading(obj.docstring.value)


def with_heading(text: str) -> str:
    """The docstring with `Examples` before its first example; as it is where there is none, or a heading already.

    >>> with_heading("Adds.\\n\\n>>> 1 + 1\\n2").split("\\n")
    ['Adds.', '', 'Examples', '--------', '>>> 1 + 1', '2']
    """
    found = _FIRST.search(text)
    if found is None or _HEADING.search(text):
        return text
    return f"{text[: found.start()]}{found[1]}Examples\n{found[1]}--------\n{text[found.start() :]}"
