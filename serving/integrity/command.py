"""`python -m ml verify`, known to `ml.cli` by its name alone, as it reads the service's segments too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec

from ml.cli import options, show
from ml.messages import code_of, message

if TYPE_CHECKING:
    from serving.prediction_log.repair import Repaired

ALTERED = 5  # exit code


@click.command()
@click.option("--all-versions", is_flag=True, help="Also every registered version, not only those with an alias.")
@click.option("--repair", "repairs", is_flag=True, help="First read back what the log shipper put aside as damaged.")
@options.options()
def command(all_versions: bool, repairs: bool, as_json: bool, **given: Any) -> int:
    """Check bundles, segments of the prediction log and the ledger against their hashes, chains and signatures.

    Prints a line for every file, byte range or row that is not what Refit wrote. Exit code 0: all is, 5: something
    is not, 1: it could not be checked (the registry or the database does not answer).
    """
    from ml.registry import chain
    from serving.integrity import checks
    from serving.prediction_log import repair

    settings = options.settings_for(given)
    repaired = repair.repair(settings) if repairs else []
    checked, violations = checks.check(settings, all_versions=all_versions)
    head = chain.read_head(settings)
    result: dict[str, Any] = {
        "checked": checked.text,
        "faults": list(map(str, violations)),
        "codes": list(map(code_of, violations)),
        "ledger_head": head.hash if head else "",
    }
    if repairs:
        result["repaired"] = [msgspec.to_builtins(one) for one in repaired]
    end = [message("ledger.as_written", checked=checked, n=len(violations))]
    end += [message("ledger.head", hash=head.hash)] if head else []
    text = "\n".join([*map(_told, repaired), *map(str, violations), " ".join(map(str, end))])
    show.result(result, as_json=as_json, text=text)
    return ALTERED if violations else 0


def _told(one: Repaired) -> str:
    rest = f"; {one.left} damaged stretches or records are not, and it is kept" if one.left else ", and it is deleted"
    return f"{one.segment}: {one.rows} rows and {one.labels} labels are in the database{rest}"
