#!/usr/bin/env bash
# Print .env.example with generated secrets: ops/compose_env.sh > .env && chmod 600 .env
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
exec python3 - "$root/.env.example" <<'PYTHON'
import base64, os, secrets, sys

made = {
    "AIRFLOW_JWT_SECRET": secrets.token_urlsafe(64),
    "AIRFLOW_FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
}
for line in open(sys.argv[1], encoding="utf-8"):
    name, is_setting, value = line.rstrip("\n").partition("=")
    if is_setting and not value and not name.startswith("#"):
        # Letters and digits alone: these go into URLs.
        line = f"{name}={made.get(name) or secrets.token_hex(24)}\n"
    sys.stdout.write(line)
PYTHON
