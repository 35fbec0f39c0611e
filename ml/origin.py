"""What started a run, as one record from the form, the command line or the drift check to the gate and the ledger."""

from __future__ import annotations

import msgspec

from ml.drift.verdict import DriftVerdict


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Who started a run and why; kept with the run.

    Parameters
    ----------
    who
        A person's name, "schedule" or "drift check"; "" where it is not known: then the user of the process.
    reason
        In a person's words; "" where none was given.
    drift
        The verdict that asked for the run; None where a person or the schedule did.
    airflow_run_url
        The run's page in Airflow; "" outside of it.

    >>> import msgspec
    >>> msgspec.json.decode(msgspec.json.encode(Origin(who="vi")), type=Origin)
    Origin(who='vi', reason='', drift=None, airflow_run_url='')
    """

    who: str = ""
    reason: str = ""
    drift: DriftVerdict | None = None
    airflow_run_url: str = ""
