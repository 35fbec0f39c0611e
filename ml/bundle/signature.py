"""Who made this bundle: a signature over all its files in the OpenSSF Model Signing format (`bundle.sig`).

ECDSA on P-256 over an in-toto statement in a DSSE envelope, as the package `model-signing` writes and checks it with
a key file; `model_signing verify key BUNDLE --signature BUNDLE/bundle.sig --public_key KEY` gives the same answer.
Signing makes the key at its first call: the private half under `var/secrets`, the public one in `var/trusted_keys`,
whose keys are trusted, all of them. docs/operations.md says how a key is renewed.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ml.bundle import manifest
from ml.bundle.manifest import MANIFEST, SIGNATURE
from ml.errors import BundleError, SettingsError
from ml.messages import message
from ml.settings import Settings
from ml.storage.files import write_bytes
from ml.storage.secrets import secret

PAYLOAD = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://model_signing/signature/v1.0"
ENVELOPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PEM = "-----BEGIN"  # a key itself, and not its file
MAX_SIGNATURE_BYTES = 4_000_000  # a signature is a few kB; our choice


class SignatureError(BundleError):
    """Raised when a bundle is not signed by a trusted key, or is not what was signed."""


class _Signature(msgspec.Struct, frozen=True):
    sig: str


class _Envelope(msgspec.Struct, frozen=True, rename="camel"):
    payload: str
    payload_type: str
    signatures: list[_Signature]


class _PublicKey(msgspec.Struct, frozen=True):
    hint: str = ""


class _Material(msgspec.Struct, frozen=True, rename="camel"):
    public_key: _PublicKey = _PublicKey()


class _Sigstore(msgspec.Struct, frozen=True, rename="camel"):
    verification_material: _Material
    dsse_envelope: _Envelope


def sign(settings: Settings, folder: Path) -> None:
    """Write `bundle.sig` into a sealed bundle; nothing where `registry.signatures` is "off".

    Raises
    ------
    SettingsError
        `registry.signing_key` is no private key on P-256.
    """
    if settings.registry.signatures == "off":
        return
    key = _signing_key(settings)
    payload = json.dumps(_statement(folder, settings.registry.model_name), indent=2).encode()
    signed = key.sign(_pae(payload), ec.ECDSA(hashes.SHA256()))
    content = {
        "mediaType": ENVELOPE,
        "verificationMaterial": {"publicKey": {"hint": _hint(key.public_key())}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD,
            "signatures": [{"sig": base64.b64encode(signed).decode(), "keyid": ""}],
        },
    }
    write_bytes(folder / SIGNATURE, json.dumps(content).encode())


def verify(settings: Settings, folder: Path) -> None:
    """Check that a trusted key signed exactly this bundle, for this model; nothing where signatures are "off".

    The files must have been checked against the manifest before: here the manifest is held against what was signed.

    Raises
    ------
    SignatureError
        No signature, one by a key that is not trusted, a forged one, or one over something else.
    """
    if settings.registry.signatures == "off":
        return
    found, file = _read(folder / SIGNATURE), folder / SIGNATURE
    hint = found.verification_material.public_key.hint
    key = trusted_keys(settings).get(hint)
    if key is None:
        named = hint[:16] or message("bundle.no_key_name")
        raise SignatureError(message("bundle.unknown_key", file=str(file), key=named, place=str(trusted(settings))))
    try:
        payload = base64.b64decode(found.dsse_envelope.payload, validate=True)
        (one,) = found.dsse_envelope.signatures
        key.verify(base64.b64decode(one.sig, validate=True), _pae(payload), ec.ECDSA(hashes.SHA256()))
        signed = json.loads(payload)
        same = _claims(signed) == _claims(_statement(folder, settings.registry.model_name))
    except (InvalidSignature, ValueError, KeyError, TypeError) as error:
        raise SignatureError(message("bundle.forged", file=str(file), key=hint[:16])) from error
    if found.dsse_envelope.payload_type != PAYLOAD or not same:
        raise SignatureError(message("bundle.signed_for_another", file=str(file), key=hint[:16]))


def trusted(settings: Settings) -> Path:
    """The folder of trusted public keys (PEM)."""
    return settings.var / "trusted_keys"


def trusted_keys(settings: Settings) -> dict[str, ec.EllipticCurvePublicKey]:
    """The public keys that count: hint → key, of `var/trusted_keys/*.pem` and of `registry.trusted_keys`.

    On machines that share no disk, also that of `registry.signing_key`: another of them may have signed with it.
    """
    named = [*map(str, sorted(trusted(settings).glob("*.pem"))), *settings.registry.trusted_keys]
    keys = [_public_key(text) for text in named]
    if settings.registry.signing_key and settings.storage.url:
        keys.append(_signing_key(settings).public_key())
    return {_hint(key): key for key in keys}


def _public_key(named: str) -> ec.EllipticCurvePublicKey:
    file = _shown(named)
    try:
        key = serialization.load_pem_public_key(_key_text(named))
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise SettingsError(message("bundle.no_public_key", file=str(file), error=str(error))) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise SettingsError(message("bundle.public_curve", file=str(file)))
    return key


def _signing_key(settings: Settings) -> ec.EllipticCurvePrivateKey:
    """The private key of the settings, or this home's own, made now where there is none; its public half is trusted.

    Machines that share no disk would each make one, and not trust the other's: there none is made.
    """
    named, own = settings.registry.signing_key, settings.var / "secrets" / "signing_key.pem"
    if not named and settings.storage.url and not own.exists():
        raise SettingsError(message("bundle.no_common_key"))
    file = _shown(named) if named else str(own)
    try:
        content = _key_text(named) if named else secret(own, _new_key)
        key = serialization.load_pem_private_key(content, None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SettingsError(message("bundle.no_private_key", file=str(file), error=str(error))) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise SettingsError(message("bundle.private_curve", file=str(file)))
    public = trusted(settings) / f"{_hint(key.public_key())[:16]}.pem"
    if not public.exists():
        write_bytes(public, _pem(key.public_key()))
    return key


def _key_text(named: str) -> bytes:
    """A key of the settings: in a file, or itself, as an environment holds it."""
    return named.replace("\\n", "\n").encode() if named.startswith(_PEM) else Path(named).read_bytes()


def _shown(named: str) -> str:
    return f"{_PEM}…" if named.startswith(_PEM) else named


def _new_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _pem(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _hint(key: ec.EllipticCurvePublicKey) -> str:
    return hashlib.sha256(_pem(key)).hexdigest()


def _read(file: Path) -> _Sigstore:
    try:
        if file.stat().st_size > MAX_SIGNATURE_BYTES:
            raise SignatureError(message("bundle.signature_too_large", file=str(file), limit=MAX_SIGNATURE_BYTES))
        return msgspec.json.decode(file.read_bytes(), type=_Sigstore)
    except FileNotFoundError as error:
        raise SignatureError(message("bundle.not_signed", file=str(file))) from error
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SignatureError(message("bundle.signature_unreadable", file=str(file), error=str(error))) from error


def _pae(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is signed."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD), PAYLOAD.encode(), len(payload), payload)


def _statement(folder: Path, model_name: str) -> dict[str, Any]:
    """The in-toto statement over a sealed bundle: every file and the manifest itself with their SHA-256."""
    files, digest = manifest.read(folder)
    listed = {**{name: entry.sha256 for name, entry in files.files.items()}, MANIFEST: digest}
    names = sorted(listed, key=lambda name: Path(name).parts)
    root = hashlib.sha256(b"".join(bytes.fromhex(listed[name]) for name in names)).hexdigest()
    return {
        "_type": STATEMENT,
        "subject": [{"name": model_name, "digest": {"sha256": root}}],
        "predicateType": PREDICATE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [SIGNATURE],
            },
            "resources": [{"name": name, "algorithm": "sha256", "digest": listed[name]} for name in names],
        },
    }


def _claims(statement: dict[str, Any]) -> tuple[Any, ...]:
    """What a statement says: another signer may order its resources in another way, or ignore other paths."""
    (subject,) = statement["subject"]
    resources = sorted((r["name"], r["algorithm"], r["digest"]) for r in statement["predicate"]["resources"])
    return statement["_type"], statement["predicateType"], subject["name"], resources
