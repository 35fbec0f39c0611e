"""Messages in the reader's language: verdicts, reasons, ledger lines, faults, the model card."""

from __future__ import annotations

from flask_babel import gettext

from ml.messages.catalogue import TEMPLATES
from ml.messages.message import Message, Text, fill
from serving.pages.i18n.formats import iso_date, localised


def translated(text: Text) -> str:
    """A message in the reader's language, numbers in the reader's format; a person's own words stay as they are.

    One of another version of Refit, whose code or values this one does not know, is told in English.
    """
    if not isinstance(text, Message):
        return text
    try:
        template = gettext(TEMPLATES[text.code])
        return fill(template, text.values, translate=translated, localise=localised, date=iso_date)
    except (KeyError, ValueError, TypeError):
        return text.text
