#!/usr/bin/env bash
# Make .env for docker-compose.yaml from .env.example, with generated secrets: ops/compose_env.sh [FILE]
# The file is the owner's alone from its first moment on. One that is there already keeps every line, and gets what a
# later version needs beside them.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
exec python3 - "$root/.env.example" "${1:-$root/.env}" <<'PYTHON'
import base64, os, secrets, subprocess, sys

# Where people open what is at a port; until then a link followed the port.
ADDRESSES = {
    "REFIT_SERVING__PUBLIC_URL": "REFIT_SERVING_PORT",
    "REFIT_SCHEDULE__PUBLIC_URL": "REFIT_AIRFLOW_PORT",
    "REFIT_REGISTRY__PUBLIC_URL": "REFIT_MLFLOW_PORT",
}
SIGNING, TRUSTED, STORAGE = "REFIT_REGISTRY__SIGNING_KEY", "REFIT_REGISTRY__TRUSTED_KEYS", "REFIT_STORAGE__URL"


def openssl(*words, given=None):
    try:
        done = subprocess.run(["openssl", *words], input=given, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"openssl, which makes the key that versions are signed with, could not be run: {error}")
    return done.stdout


def pair():
    """A private key on P-256 and its public half, each on one line."""
    private = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    public = openssl("pkey", "-pubout", given=private)
    return {SIGNING: private.replace("\n", "\\n"), TRUSTED: public.replace("\n", "\\n")}


def secret(name):
    if name == "AIRFLOW_JWT_SECRET":
        return secrets.token_urlsafe(64)
    if name == "AIRFLOW_FERNET_KEY":
        return base64.urlsafe_b64encode(os.urandom(32)).decode()
    return secrets.token_hex(24)  # letters and digits alone: these go into URLs


def name_of(line):
    name, is_setting, value = line.rstrip("\n").partition("=")
    return (name, value) if is_setting and not name.startswith("#") else ("", "")


def make(example):
    keys = pair()
    for line in example:
        name, value = name_of(line)
        yield f"{name}={keys.get(name) or secret(name)}\n" if name and not value else line


def missing(example, present):
    """Lines for a file of an earlier version: it goes on with the volumes that it has."""
    there = dict(map(name_of, present))
    added = [f"{name}={secret(name)}" for name, value in map(name_of, example)
             if name and not value and name not in {*there, SIGNING, TRUSTED}]
    added += [f"{name}=http://127.0.0.1:{there[port]}" for name, port in ADDRESSES.items()
              if name not in there and there.get(port)]
    if STORAGE not in there:
        added.append(f"{STORAGE}=")
    if not there.get(STORAGE) and "COMPOSE_FILE" not in there:
        added.append("COMPOSE_FILE=docker-compose.yaml:ops/compose-volumes.yaml")
    return added


def write(target, flags, text):
    with os.fdopen(os.open(target, flags, 0o600), "w", encoding="utf-8") as written:
        written.write(text)
        written.flush()
        os.fsync(written.fileno())


with open(sys.argv[1], encoding="utf-8") as lines:
    example = list(lines)
target = sys.argv[2]
try:
    with open(target, encoding="utf-8") as lines:
        present = list(lines)
except FileNotFoundError:
    try:
        write(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, "".join(make(example)))
    except FileExistsError:
        sys.exit(f"{target} has just been made by somebody else and was left as it is")
    sys.exit()
added = missing(example, present)
if not added:
    sys.exit(f"{target} is there already and was left as it is: move it away for new secrets")
between = "" if not present or present[-1].endswith("\n") else "\n"
write(target, os.O_WRONLY | os.O_APPEND, between + "".join(f"{line}\n" for line in added))
print(f"{target} kept what it had; added: {', '.join(line.partition('=')[0] for line in added)}")
if added[-1].startswith("COMPOSE_FILE="):
    print("This installation goes on with its volumes. How to leave them: docs/deployment.md, 'From a version with a shared volume'.")
PYTHON
