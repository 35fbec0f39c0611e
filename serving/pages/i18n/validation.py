"""What is wrong with a row or a file, told to a person: the place, what was expected, what came."""

from __future__ import annotations

from flask_babel import gettext
from flask_babel import lazy_gettext as _l

from ml.messages import Message, Text, code_of
from ml.schema.validation_errors import ValidationError, shown
from serving.pages.i18n import formats
from serving.pages.i18n.translation import translated
from serving.problems import Problem

# A form has no null and no JSON.
IN_A_FORM = {
    "rows.do_not_fit": _l("This row does not fit the model"),
    "rows.finite_number": _l("a number, or nothing where it is missing"),
    "rows.text": _l("a text, or nothing where it is missing"),
}


def title(problem: Problem) -> str:
    """What kind of problem it is."""
    title = problem.title
    return str(formats.STATUSES.get(problem.status, title)) if isinstance(title, str) else _in_a_form(title)


def told(error: ValidationError) -> str:
    """One validation error in the reader's language."""
    if code_of(error.expected) == "files.fitting_table":  # an error of the whole table names its place itself
        return translated(error.got)
    place = [gettext("line %(n)s", n=error.line)] if error.line is not None else []
    if error.column is not None:
        place.append(gettext("column “%(name)s”", name=shown(error.column)))
    text = gettext("expected %(expected)s, got %(got)s", expected=_in_a_form(error.expected), got=_got(error.got))
    return f"{', '.join(place)}: {text}" if place else text


def _in_a_form(text: Text) -> str:
    return str(IN_A_FORM.get(code_of(text)) or translated(text))


def _got(text: Text) -> str:
    if isinstance(text, Message) and text.code == "rows.the_text":
        return f"'{text.values['value']}'"
    return translated(text)
