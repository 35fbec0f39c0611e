"""Messages: every sentence for people, by code. Records keep code, values and English; the pages translate by code.

| module | what is in it |
|---|---|
| `message` | `Message`: a code, its values, and the English text they give; how a template is filled |
| `catalogue` | `message(code, …)` makes one; all templates by code |
| `dates` | Dates of ISO 8601 as the readers of a language write them |
| `document` | A document of messages, as Markdown in the reader's language |
| `templates` | The English templates, a module a room |

**A new sentence.** Write its template into its module of `ml/messages/templates`, under a code `module.name`, with a
format specification where a number needs one:

    "gate.too_slow": N_("too slow: {ms:.1f} ms a row, allowed {allowed:g} ms"),

Make it where the fact is known, with raw values (numbers stay numbers), and keep the `Message` in the record:

    message("gate.too_slow", ms=found.latency_ms, allowed=settings.max_latency_ms)

A value may be a text, a number, another message, or a list of these: `{reasons:; }` joins a list with "; ", and
`{until:date}` is a date of ISO 8601 that is shown as its reader writes dates. What a
person wrote is a plain text: where a record may hold either, its type is `Text`. Decide by `.code`, never by words;
`str(message)` is the English. Errors of `ml.errors` take a message instead of a text, and have `.code` then. Then add
the Vietnamese to `serving/translations/vi/LC_MESSAGES/messages.po` (CONTRIBUTING.md has the commands), with the same
holes. Pages show a message by the filter `translated`. `tests/ml/messages/test_catalogue.py` compares code, catalogue
and translations: a code that is unknown, unused, called with other values or untranslated fails there.
"""

from ml.messages.catalogue import message, moved
from ml.messages.message import Message, Text, code_of, english

__all__ = ["Message", "Text", "code_of", "english", "message", "moved"]
