"""What is wrong with a row or a file, told to a person: the place, what was expected, what came."""

from __future__ import annotations

from flask_babel import gettext
from flask_babel import lazy_gettext as _l

from ml.schema.validation import Fault, shown
from serving.pages.i18n.translation import said
from serving.problems import TABLE, Problem

TITLES = {
    "Rows do not fit the model": _l("This row does not fit the model"),
    "The table does not fit": _l("The table does not fit"),
}
EXPECTED = {
    "a finite number or null": _l("a number, or nothing where it is missing"),
    "a text or null": _l("a text, or nothing where it is missing"),
}


def title(problem: Problem) -> str:
    """What kind of problem it is."""
    return str(TITLES.get(problem.title) or said(problem.title))


def told(fault: Fault) -> str:
    """One fault in the reader's language."""
    if fault.expected == TABLE:  # an error of the whole table names its place itself
        return said(fault.got)
    place = [gettext("line %(n)s", n=fault.line)] if fault.line is not None else []
    if fault.column is not None:
        place.append(gettext("column “%(name)s”", name=shown(fault.column)))
    expected = EXPECTED.get(fault.expected) or said(fault.expected)
    got = said(fault.got.removeprefix("the text "))
    text = gettext("expected %(expected)s, got %(got)s", expected=expected, got=got)
    return f"{', '.join(place)}: {text}" if place else text
