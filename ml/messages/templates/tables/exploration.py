"""Exploration: what labelled rows are, where answers decide who gets a label."""

from ml.messages.message import N_

TEMPLATES = {
    "exploration.with_notes": "{found} ({notes:; })",
    "exploration.weighed": N_(
        "weighed by inverse propensity: the {n} labelled rows tell as much as {effective:.0f} of equal weight"
    ),
    "exploration.clipped": N_("{n} weights were cut to {most:g}"),
    "exploration.unknown": N_("{n} labelled rows of unknown propensity count once"),
    "exploration.without_chance": N_(
        "{n} labels came though the action that followed gave no chance of one: they are left out"
    ),
    "exploration.no_sample": N_(
        "the labelled rows are not a sample of the answered ones: of rows alike in score between {least:.1%} and "
        "{most:.1%} have a label, and no propensities are logged"
    ),
    "exploration.added_weighed": N_("the labelled production rows are weighed by inverse propensity"),
}
