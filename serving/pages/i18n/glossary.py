"""What the figures of a model mean, for those who read them for the first time."""

from __future__ import annotations

from flask_babel import gettext

from serving.pages.i18n import formats


def of_figures() -> list[tuple[str, str]]:
    """Name and meaning of what stands in the cards and tables of a version, in the reader's language."""
    names = formats.METRICS
    return [
        (
            f"{names['precision']}, {names['recall']}",
            gettext(
                "Precision: of the rows that it names, how many are so. Recall: of the rows that are so, how many it "
                "names. F1 is high where both are."
            ),
        ),
        (
            str(names["roc_auc"]),
            gettext(
                "How often a row of the positive label is ranked above one of the other: 1 is always, 0.5 is chance. "
                "The threshold does not matter to it."
            ),
        ),
        (
            str(names["log_loss"]),
            gettext(
                "How far the probabilities are from what came, in nats (natural logarithms): 0 is perfect, and ½ for "
                "each of two classes gives 0.693. A sure and wrong answer costs most."
            ),
        ),
        (
            str(names["ece"]),
            gettext(
                "By how much the promised probabilities miss the shares that came, beyond what chance alone would: "
                "0.000 says that no miss can be told from chance on these rows."
            ),
        ),
        (
            gettext("Without skill"),
            gettext("What a model has that knows the shares of the classes and nothing of the row."),
        ),
        (
            gettext("With the threshold at ½"),
            gettext("The same rows, answered by the likelier class instead of by the threshold that was chosen."),
        ),
        (
            gettext("Interval, 95%"),
            gettext("Where the figure would lie on other test rows of the same kind, 95 times of 100."),
        ),
        (
            gettext("Log-odds"),
            gettext(
                "The logarithm of p / (1 − p), in which what columns contribute adds up: +0.69 doubles the odds, −0.69 "
                "halves them."
            ),
        ),
    ]
