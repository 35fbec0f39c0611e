#!/usr/bin/env bash
# Make .env for docker-compose.yaml from .env.example, with generated secrets: ops/compose_env.sh [FILE]
# The file is the owner's alone from its first moment on; one that is there already stays as it is.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
exec python3 - "$root/.env.example" "${1:-$root/.env}" <<'PYTHON'
import base64, os, secrets, sys

made = {
    "AIRFLOW_JWT_SECRET": secrets.token_urlsafe(64),
    "AIRFLOW_FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
}
example, target = sys.argv[1:]
try:
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
except FileExistsError:
    sys.exit(f"{target} is there already and was left as it is: move it away for new secrets")
with open(example, encoding="utf-8") as lines, os.fdopen(handle, "w", encoding="utf-8") as written:
    for line in lines:
        name, is_setting, value = line.rstrip("\n").partition("=")
        if is_setting and not value and not name.startswith("#"):
            # Letters and digits alone: these go into URLs.
            line = f"{name}={made.get(name) or secrets.token_hex(24)}\n"
        written.write(line)
    written.flush()
    os.fsync(written.fileno())
PYTHON
