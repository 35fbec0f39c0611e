#!/usr/bin/env bash
# Renew what Refit is built of, and run the tests on it: ops/lock.sh [--keep] [--no-tests]
#
#   requirements.txt, requirements-dev.txt,  newest versions that requirements*.in allow and that go together;
#   requirements-engine.txt                  with --keep the versions stay, and only what follows is renewed
#   ops/lock/*.txt                           the same with the SHA-256 of every file that may be installed
#   docker-compose.yaml, Dockerfile          images by digest, where Docker and a registry can be reached
#   .github/workflows/*.yml                  actions by commit, where GitHub can be reached
#
# What could not be reached is told and stays as it is. Then the audit, the SBOM (var/sbom.json) and ./run_tests.sh.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"
tools="$(mktemp -d)"
trap 'rm -rf "$tools"' EXIT
"${PYTHON:-python3.11}" -m venv "$tools"
"$tools/bin/pip" install --quiet --require-hashes --no-deps -r ops/lock/tools.txt
index=https://pypi.org/simple
compile() { # NAME OPTIONS…: the lock of what comes on standard input, without local sources of this machine
  local name=$1
  shift
  env -u PIP_FIND_LINKS "$tools/bin/uv" pip compile --quiet --no-config --default-index "$index" --no-annotate \
    --no-header --python "$tools/bin/python" "$@" - >"$tools/$name"
}
header() { head -n 1 "$1" >"$tools/head" && cat "$tools/head" "$2"; }

if [[ " $* " != *" --keep "* ]]; then
  # Without CUDA's parts, which only some machines need: ops/lock/cuda.txt has them.
  compile runtime <requirements.in
  grep -viE '^(nvidia-|cuda-|triton=)' "$tools/runtime" >"$tools/plain"
  header requirements.txt "$tools/plain" >"$tools/new" && cp "$tools/new" requirements.txt
  for extra in dev engine; do
    grep -v '^-c' "requirements-$extra.in" | compile "$extra" --constraint requirements.txt
    grep -vixFf "$tools/plain" "$tools/$extra" >"$tools/plain-extra"
    { head -n 1 "requirements-$extra.txt" && echo "-r requirements.txt" && cat "$tools/plain-extra"; } >"$tools/new"
    cp "$tools/new" "requirements-$extra.txt"
  done
fi

told="# Made by ops/lock.sh: the pins with the SHA-256 of every file that may be installed for them."
torch="$(grep '^torch==' requirements.txt)"
if ! grep -qxF "$torch+cpu \\" ops/lock/torch-cpu.txt; then # another version: the CPU build is not on PyPI
  "$tools/bin/pip" download --quiet --no-deps --dest "$tools/cpu" \
    --extra-index-url https://download.pytorch.org/whl/cpu "$torch+cpu"
  hash="$("$tools/bin/pip" hash "$tools"/cpu/torch-* | grep -- --hash)"
  printf '%s\n%s+cpu \\\n    %s\n' "$told" "$torch" "$hash" >ops/lock/torch-cpu.txt
fi
grep -v '^torch==' requirements.txt | compile runtime --generate-hashes --no-deps
{ echo "$told" && cat "$tools/runtime"; } >ops/lock/runtime.txt
echo "$torch" | compile torch --generate-hashes --no-deps
{ echo "$told" && cat "$tools/torch"; } >ops/lock/torch.txt
for extra in dev engine; do
  grep -v '^-r' "requirements-$extra.txt" | compile "$extra" --generate-hashes --no-deps
  { echo "$told" && cat "$tools/$extra"; } >"ops/lock/$extra.txt"
done
echo "$torch" | compile cuda --constraint requirements.txt --python-platform x86_64-manylinux_2_28
grep -iE '^(nvidia-|cuda-|triton=)' "$tools/cuda" | compile hashed --generate-hashes --no-deps
{ echo "$told" && sed 's/^[a-z].*==[^ ]*/& ; platform_system == "Linux"/' "$tools/hashed"; } >ops/lock/cuda.txt
compile service --constraint requirements.txt --generate-hashes <requirements-service.in
{ echo "$told" && cat "$tools/service"; } >ops/lock/service.txt
printf 'uv\npip-audit\ncyclonedx-bom\n' | compile tools --generate-hashes
{ echo "$told" && cat "$tools/tools"; } >ops/lock/tools.txt

for image in $(sed -nE 's/^ *(image:|FROM) ([a-z0-9./-]+:[A-Za-z0-9._-]+).*/\2/p' docker-compose.yaml Dockerfile | sort -u); do
  if digest="$(docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$image" 2>/dev/null)"; then
    sed -i -E "s#((image:|FROM) ${image//./\\.})(@sha256:[0-9a-f]+)?#\1@$digest#" docker-compose.yaml Dockerfile
  else
    echo "$image: no digest could be had; it stays pinned by its version alone" >&2
  fi
done
for action in $(sed -nE 's/.*uses: ([A-Za-z0-9_./-]+)@.*/\1/p' .github/workflows/*.yml | sort -u); do
  tag="$(sed -nE "s#.*uses: $action@[^ ]+ *\# *(v[0-9.]+).*#\1#p; s#.*uses: $action@(v[0-9.]+) *\$#\1#p" .github/workflows/*.yml | head -n 1)"
  # A tag of its own kind names its commit behind ^{}.
  if commit="$(git ls-remote "https://github.com/$action" "refs/tags/$tag" "refs/tags/$tag^{}" 2>/dev/null | tail -n 1 | cut -f 1)" && [ -n "$commit" ]; then
    sed -i -E "s#uses: $action@.*#uses: $action@$commit \# $tag#" .github/workflows/*.yml
  else
    echo "$action@$tag: its commit could not be had; it stays as it is" >&2
  fi
done

mkdir -p var
"$tools/bin/cyclonedx-py" requirements requirements.txt --output-format JSON --output-file var/sbom.json
"$tools/bin/pip-audit" --strict --disable-pip --require-hashes -r ops/lock/runtime.txt -r ops/lock/torch.txt ||
  echo "The audit found something, or could not ask: see above." >&2
[[ " $* " == *" --no-tests "* ]] || ./run_tests.sh
