"""How a template is filled, and how a message goes through a record."""

from __future__ import annotations

import msgspec
import pytest

from ml.errors import DataError, PromotionError, RefitError
from ml.messages import Message, Text, message
from ml.messages.message import fill

SLOW = message("gate.too_slow", ms=80.0, allowed=50)


def test_a_list_is_joined_by_the_specification_of_its_hole() -> None:
    """Messages and plain texts alike."""
    assert fill("{reasons:; }.", {"reasons": [SLOW, "a person's"]}) == f"{SLOW}; a person's."


def test_texts_and_numbers_go_through_the_readers_own() -> None:
    """Of a list and of a message each text; what stands in the template does not."""
    found = fill(
        "{n:,} of {who}: {parts: }",
        {"n": 1200, "who": "ann", "parts": [SLOW, "x"]},
        translate=lambda text: text.code if isinstance(text, Message) else text.upper(),
        localise=lambda text: text.replace(",", "."),
    )
    assert found == "1.200 of ANN: gate.too_slow X"


@pytest.mark.parametrize(("template", "values"), [("{a}", {}), ("{a:.1f}", {"a": None}), ("{a:q}", {"a": 1})])
def test_values_of_another_template_are_an_error(template: str, values: dict[str, object]) -> None:
    """The pages tell such a one in English."""
    with pytest.raises((KeyError, ValueError, TypeError)):
        fill(template, values)


def test_a_message_comes_back_from_json_whole() -> None:
    """Messages inside of messages too, and a person's words stay words."""
    whole: list[Text] = [message("gate.refused", reasons=[SLOW, SLOW]), "too many complaints"]
    assert msgspec.json.decode(msgspec.json.encode(whole), type=list[Text]) == whole


def test_an_error_carries_its_message() -> None:
    """`code` is "" where it has only words."""
    error = PromotionError(SLOW)
    assert (str(error), error.message, error.code, error.explanation) == (SLOW.text, SLOW, "gate.too_slow", SLOW)
    bare = RefitError("only words")
    assert (str(bare), bare.message, bare.code, bare.explanation) == ("only words", None, "", "only words")


def test_an_error_of_a_table_names_its_place_by_code() -> None:
    """And has the code of what is wrong, not of the place."""
    error = DataError(SLOW, file="a.csv", line=3, column="age")
    assert str(error) == f"a.csv, line 3, column 'age': {SLOW}"
    assert error.code == SLOW.code
    assert error.message is not None
    assert error.message.values["what"] == SLOW
    assert DataError(SLOW).message == SLOW
    assert DataError("words", column="age").code == ""
