"""What `python -m ml verify` finds: rows of the ledger and files that are not what Refit wrote."""

from ml.messages.message import N_

TEMPLATES = {
    "ledger.row_missing": N_("ledger row {row}: missing"),
    "ledger.row_altered": N_("ledger row {row}: altered"),
    "ledger.beginning_removed": N_("ledger: what stood before row {row} was removed"),
    "ledger.rewritten": N_("ledger row {row}: rewritten or followed by removed rows; row {next} tells"),
    "ledger.not_ours": N_("ledger row {row}: not written by Refit"),
    "ledger.head_missing": N_("{file}: missing; the end of the ledger cannot be checked"),
    "ledger.head_altered": N_("{file}: altered; the end of the ledger cannot be checked"),
    "ledger.end_cut": N_("ledger: its end was cut off; row {row} was written and is gone ({file})"),
    "ledger.all_rewritten": N_("ledger row {row}: rewritten with all before it, or {file} was altered"),
    "ledger.no_intention": N_("the ledger does not hold the intention that was just written"),
    "ledger.segment": N_("{file}: bytes {first} to {last}: altered, or torn by a kill"),
    "ledger.put_aside": N_("{file}: put aside by the log shipper: python -m ml verify --repair reads back what can be"),
    "ledger.of_version": N_("version {version}: {fault}"),
    "ledger.checked": N_("{segments} segments, {bundles} cached bundles, {versions} versions, the ledger"),
    "ledger.as_written": N_("{checked}: {n} not as written."),
    "ledger.head": N_("The ledger's newest hash is {hash}: note it elsewhere."),
}
