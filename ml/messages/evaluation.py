"""What the rows of a slice share."""

from ml.messages.message import N_

TEMPLATES = {
    "evaluation.missing": N_("missing"),
    "evaluation.range": N_("{low:.6g} to {high:.6g}"),
}
