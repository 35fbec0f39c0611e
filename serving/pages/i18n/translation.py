"""Sentences of the library in the reader's language: verdicts, reasons, faults, the model card.

The library writes plain English into records that outlive it (ledger, registry tags, gate.json, checks, errors),
and a worker may not import it. So the pages go the other way: `sentences.py` has every sentence as a template,
a text is matched against them, and the template's translation is filled with what stood in the text, numbers in
the reader's format. Texts that no template made, such as a person's own reason, stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

from flask_babel import get_locale, gettext

from ml.messages.catalogue import TEMPLATES
from ml.messages.message import Message, Text, fill
from serving.pages.i18n import templates as sentences
from serving.pages.i18n.formats import localised

HOLE = re.compile(r"\{(\w+)\}")
SENTENCES = frozenset({"reason", "error", "now", "got", "kind", "found", "said"})  # holes that may hold words of ours
BOUNDS = frozenset({"low", "high"})  # numbers alone: a level may be called "month to month"
NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?%?")
END = re.compile(r"(?<=[.)]) | (?=Started because: )")  # between sentences
LONGEST = 8_000  # characters; a refusal that names many slices has some thousands
TRIES = 6  # places to cut a text at: what has more is not a sentence of ours
MOST_BRACKETS = 100  # a refusal names a slice in each
TOGETHER = 4  # parts of a list that may be one reason with a separator in it


class Template(NamedTuple):
    """A sentence with holes, and what recognises it."""

    text: str
    pattern: re.Pattern[str]


Templates = tuple[Template, ...]
Known = Callable[[str], str | None]


def compiled(texts: Iterable[str]) -> Templates:
    """Ready to match, the most telling first: those with the most text of their own."""
    ordered = sorted(texts, key=lambda text: -len(HOLE.sub("", text)))
    return tuple(Template(text, _pattern(text)) for text in ordered)


def _pattern(text: str) -> re.Pattern[str]:
    literal, *rest = HOLE.split(text)
    parts, seen = [re.escape(literal)], set[str]()
    for name, following in zip(rest[::2], rest[1::2], strict=True):
        inside = r"[-+\d.,e…]+%?" if name in BOUNDS else ".+?"
        parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>{inside})")
        parts.append(re.escape(following))
        seen.add(name)
    return re.compile("".join(parts), re.DOTALL)


PARTS = ("ROWS", "FILES", "SERVICE")
TOLD = compiled(text for part in PARTS for text in getattr(sentences, part))


def translated(text: Text) -> str:
    """A message in the reader's language, numbers in the reader's format; a person's own words stay as they are.

    One of another version of Refit, whose code or values this one does not know, is told in English.
    """
    if not isinstance(text, Message):
        return said(text)
    try:
        template = gettext(TEMPLATES[text.code])
        return fill(template, text.values, translate=translated, localise=localised)
    except (KeyError, ValueError, TypeError):
        return text.text


def said(text: str, templates: Templates = TOLD) -> str:
    """`text` in the reader's language as far as it is known, else as it is.

    Known are the library's sentences, one after another, in a list, in brackets or after a colon.
    """
    locale = str(get_locale() or "en")
    if locale.startswith("en") or len(text) > LONGEST:
        return text
    return _partly(text, locale, templates) or text


@lru_cache(maxsize=4096)
def _all(text: str, locale: str, templates: Templates) -> str | None:
    """The translation, or None where any part of the text is not known. `locale` is only a key of the cache."""

    def known(part: str) -> str | None:
        return _all(part, locale, templates)

    return (
        _parts(END.split(text), " ", known)
        or _parts(text.split("; "), "; ", known)
        or _whole(text, locale, templates)
        or _bracketed(text, known, every=True)
    )


@lru_cache(maxsize=4096)
def _partly(text: str, locale: str, templates: Templates) -> str | None:
    """The translation of what is known, the rest as it is; None where nothing is."""

    def known(part: str) -> str | None:
        return _all(part, locale, templates)

    def partly(part: str) -> str | None:
        return _partly(part, locale, templates)

    return (
        known(text)
        or _parts(END.split(text), " ", known, partly)
        or _parts(text.split("; "), "; ", known, partly)
        or _bracketed(text, partly)
        or _after_colon(text, partly)
    )


def _whole(text: str, locale: str, templates: Templates) -> str | None:
    for template in templates:
        if found := template.pattern.fullmatch(text):
            parts = HOLE.split(gettext(template.text))
            parts[1::2] = [_value(name, found[name], locale, templates) for name in parts[1::2]]
            return "".join(parts)
    return None


def _value(name: str, text: str, locale: str, templates: Templates) -> str:
    if NUMBER.fullmatch(text):
        return localised(text)
    if name == "reasons" or name in SENTENCES:
        return _partly(text, locale, templates) or text
    return text


def _parts(pieces: list[str], separator: str, known: Known, partly: Known | None = None) -> str | None:
    """A list, part by part; a part of ours may itself hold the separator, so several pieces may be one part.

    What is not known is left as `partly` has it; without `partly` nothing may be unknown.
    """
    out: list[str] = []
    start, any_known = 0, False
    while start < len(pieces):
        stops = range(start + 1, min(len(pieces), start + TOGETHER) + 1)
        tried = ((stop, known(separator.join(pieces[start:stop]))) for stop in stops if stop - start < len(pieces))
        stop, found = next(((stop, found) for stop, found in tried if found), (start + 1, None))
        if found is None and partly and len(pieces) > 1:
            found = partly(pieces[start])
        if found is None and not partly:
            return None
        any_known |= found is not None
        out.append(found or pieces[start])
        start = stop
    return separator.join(out) if any_known else None


def _bracketed(text: str, known: Known, *, every: bool = False) -> str | None:
    """`sentence (notes)`, and `(notes)` alone."""
    if not text.endswith(")") or text.count(" (") > MOST_BRACKETS:
        return None
    if text.startswith("(") and (inside := known(text[1:-1])):
        return f"({inside})"
    start = text.rfind(" (")
    for _ in range(TRIES):  # the notes come last, and may have brackets of their own
        if start <= 0:
            break
        before, inside = known(text[:start]), known(text[start + 2 : -1])
        if (before and inside) or (not every and (before or inside)):
            return f"{before or text[:start]} ({inside or text[start + 2 : -1]})"
        start = text.rfind(" (", 0, start)
    return None


def _after_colon(text: str, known: Known) -> str | None:
    """`a person's own reason: what failed`."""
    head, *rest = text.split(": ")
    for place in range(len(rest) if len(rest) <= TRIES else 0):
        before, after = ": ".join([head, *rest[:place]]), ": ".join(rest[place:])
        if told := known(after):
            return f"{known(before) or before}: {told}"
    return None
