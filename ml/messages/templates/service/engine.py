"""Why the engine, a Dask cluster, did not do what it was asked."""

from ml.messages.message import N_

TEMPLATES = {
    "engine.no_package": N_(
        'tune.engine is "dask", and Dask is not installed here: pip install -r requirements-engine.txt'
    ),
    "engine.unavailable": N_(
        "the Dask scheduler at {address} cannot be reached or was lost ({error}); what was finished is kept, and "
        "the next try goes on from it"
    ),
    "engine.lost": N_("the Dask scheduler at {address} cannot be reached or was lost ({error})"),
    "engine.no_workers": N_(
        "the Dask scheduler at {address} has had no worker for {seconds} s; start one with: dask worker {address}"
    ),
    "engine.no_code": N_(
        "the Dask cluster cannot import Refit's code ({error}): start its scheduler and its workers in the environment "
        "and the folder of this checkout"
    ),
    "engine.other_code": N_(
        "a Dask worker would give other numbers than this machine; there, and in brackets here: {differs}; start it "
        "from the same checkout and the same lock files"
    ),
}
