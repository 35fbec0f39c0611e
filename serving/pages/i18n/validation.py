"""What is wrong with a row or a file, told to a person: the place, what was expected, what came."""

from __future__ import annotations

from flask_babel import gettext
from flask_babel import lazy_gettext as _l

from ml.messages import Message, Text, code_of
from ml.messages.message import fill
from ml.schema.validation_errors import ValidationError, shown
from serving.pages.i18n import formats
from serving.pages.i18n.translation import translated
from serving.problems import Problem

# A form has no null, no JSON and no parameters, but fields.
IN_A_FORM = {
    "rows.do_not_fit": _l("This row does not fit the model"),
    "rows.finite_number": _l("a number, or nothing where it is missing"),
    "rows.text": _l("a text, or nothing where it is missing"),
    "rows.doubtful_marks": _l(
        "a number that can be read in one way: {one} with the decimal mark '.', {other} with ',' (choose it in the "
        "field “Decimal mark”)"
    ),
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
    if not isinstance(text, Message) or text.code not in IN_A_FORM:
        return translated(text)
    return fill(str(IN_A_FORM[text.code]), text.values, translate=translated, localise=formats.localised)


def _got(text: Text) -> str:
    if isinstance(text, Message) and text.code == "rows.the_text":
        return f"'{text.values['value']}'"
    return translated(text)
