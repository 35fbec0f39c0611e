"""What is wrong with the settings, wherever they come from."""

from ml.messages.message import N_

TEMPLATES = {
    "settings.wrong": N_("settings: {error}"),
    "settings.at": N_("{place}: {what}"),
    "settings.other_kind": N_("{setting}: expected {expected: or }, got {got}"),
    "settings.kind_whole": N_("a whole number"),
    "settings.kind_number": N_("a number"),
    "settings.kind_text": N_("a text"),
    "settings.kind_flag": N_("true or false"),
    "settings.kind_list": N_("a list"),
    "settings.kind_table": N_("a table of names and values"),
    "settings.not_one_of": N_("{setting}: expected one of {allowed:, }, got '{got}'"),
    "settings.no_cron": N_(
        "{setting}: expected a time as cron writes it, in UTC, such as '0 3 * * *' (each day at 3:00) or '@daily', got "
        "'{got}'; to switch it off, pause the DAG {dag} in Airflow"
    ),
    "settings.did_you_mean": N_("{why}; did you mean '{near}'?"),
    "settings.replaced": N_("{old} is no setting any more: {new} replaced it, see docs/drift.md"),
    "settings.no_section": N_("{name}: there is no section '{section}'"),
    "settings.no_setting": N_("{name}: there is no setting '{setting}'"),
    "settings.no_setting_in": N_("{name}: there is no setting '{setting}' in [{section}]"),
    "settings.no_toml": N_("{file}: not valid TOML: {error}"),
    "settings.chosen_no_json": N_("{file}: not valid JSON: {error}; remove it to go back to refit.toml"),
    "settings.no_json": N_("{name}: not valid JSON: {error}"),
    "settings.mapping": N_('{name}: expected a JSON object such as {{"column": "category"}}, got {got}'),
    "settings.no_file_system": N_(
        "{address}: no file system that Arrow knows ({error}); expected a folder, file:///… or s3://bucket/prefix"
    ),
    "settings.no_common_hash_key": N_(
        "log.hash_columns and storage.url are set: machines that share no disk need one key, for the same value to "
        "have the same hash. Make one file with openssl rand -out FILE 32, and name it by log.hash_key_file, "
        "the same on each"
    ),
    "settings.no_hosts": N_(
        'serving.host is {host}, which other machines can reach, and serving.require_keys is "never": list the names '
        "that callers use in serving.allowed_hosts, so that no web page comes by a name of its own"
    ),
    "settings.no_key": N_(
        "{why}, and there is no API key. Make one with: python -m serving.auth create --scope predict --scope feedback "
        '--name NAME (or listen on 127.0.0.1, or set serving.require_keys = "never" behind a proxy that checks '
        "callers, and list serving.allowed_hosts)"
    ),
    "settings.host_reachable": N_("serving.host is {host}, which other machines can reach"),
    "settings.keys_always": N_('serving.require_keys is "always"'),
    "settings.no_hash_key": N_("log.hash_key_file: {file} cannot be read as a key: {error}"),
    "settings.no_key_list": N_("{file}: not a readable list of keys: {error}"),
}
