"""What the rows of a slice share, and how an answer is made of probabilities."""

from ml.messages.message import N_

TEMPLATES = {
    "evaluation.missing": N_("missing"),
    "evaluation.dates": N_("{low} to {high}"),
    "evaluation.range": N_("{low:.6g} to {high:.6g}"),
    "evaluation.most_probable": N_("The answer is the most probable class."),
    "evaluation.cheapest": N_("The answer is the class that costs least on average."),
    "evaluation.threshold": N_("At {threshold:.1%} and more the answer is “{label}”, chosen for {objective}."),
    "evaluation.threshold_and_base_rate": N_(
        "At {threshold:.1%} and more the answer is “{label}”, chosen for {objective}; {base_rate:.1%} of the test rows "
        "are “{label}”."
    ),
    "evaluation.for_accuracy": N_("accuracy"),
    "evaluation.for_balanced_accuracy": N_("balanced accuracy"),
    "evaluation.for_cost": N_("the least cost"),
    "evaluation.counts": N_(
        "Of 100 rows that it answers “{label}”, {right:.0f} are; of 100 that are, it finds {found:.0f}."
    ),
}
