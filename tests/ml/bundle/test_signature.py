"""A signature says who made a bundle: keys, their renewal, and what is refused of a signature file."""

from __future__ import annotations

import base64
import json
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ml.bundle import cache, signature
from ml.bundle.manifest import SIGNATURE
from ml.bundle.signature import SignatureError
from ml.errors import BundleError, SettingsError
from ml.settings import Settings, from_values
from tests.serving import tiny


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return tiny.settings_for(tmp_path / "home")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    tiny.write_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def key_file(file: Path, key: Any) -> Path:
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return file


def test_key_is_made_once_and_its_private_half_is_the_owners_alone(settings: Settings, bundle: Path) -> None:
    signature.sign(settings, bundle)
    private = settings.var / "secrets" / "signing_key.pem"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    content = private.read_bytes()
    signature.sign(settings, bundle)
    assert private.read_bytes() == content
    (public,) = (settings.var / "trusted_keys").iterdir()
    assert b"PUBLIC KEY" in public.read_bytes()
    signature.verify(settings, bundle)


def test_signature_is_one_that_openssl_checks(settings: Settings, bundle: Path, tmp_path: Path) -> None:
    """Not only our own reading of it: the payload, encoded as DSSE says, with the public key's file."""
    signature.sign(settings, bundle)
    envelope = json.loads((bundle / SIGNATURE).read_bytes())["dsseEnvelope"]
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"]
    (tmp_path / "signed").write_bytes(f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload)
    (tmp_path / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    (public,) = (settings.var / "trusted_keys").iterdir()
    command = ["openssl", "dgst", "-sha256", "-verify", str(public), "-signature", "sig", "signed"]
    assert "Verified OK" in subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout


def test_renewed_key_signs_and_the_old_one_counts_until_it_is_removed(settings: Settings, bundle: Path) -> None:
    signature.sign(settings, bundle)
    (old,) = (settings.var / "trusted_keys").iterdir()
    before = (bundle / SIGNATURE).read_bytes()
    (settings.var / "secrets" / "signing_key.pem").unlink()
    signature.sign(settings, bundle)
    signature.verify(settings, bundle)
    after = (bundle / SIGNATURE).read_bytes()
    (bundle / SIGNATURE).write_bytes(before)
    signature.verify(settings, bundle)
    old.unlink()
    with pytest.raises(SignatureError, match="which is not in"):
        signature.verify(settings, bundle)
    (bundle / SIGNATURE).write_bytes(after)
    signature.verify(settings, bundle)


def test_key_by_settings_and_public_key_elsewhere(tmp_path: Path, bundle: Path) -> None:
    """A machine that serves needs the public half alone."""
    private = key_file(tmp_path / "team.pem", ec.generate_private_key(ec.SECP256R1()))
    trains = tiny.settings_for(tmp_path / "trains", registry={"signing_key": str(private)})
    signature.sign(trains, bundle)
    assert not (trains.var / "secrets").exists()
    (public,) = (trains.var / "trusted_keys").iterdir()
    serves = tiny.settings_for(tmp_path / "serves", registry={"trusted_keys": [str(public)]})
    signature.verify(serves, bundle)
    with pytest.raises(SignatureError):
        signature.verify(tiny.settings_for(tmp_path / "other"), bundle)


@pytest.mark.parametrize("key", [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())])
def test_key_of_another_kind_is_told(tmp_path: Path, bundle: Path, key: Any) -> None:
    file = key_file(tmp_path / "key.pem", key)
    with pytest.raises(SettingsError, match="P-256"):
        signature.sign(tiny.settings_for(tmp_path, registry={"signing_key": str(file)}), bundle)


@pytest.mark.parametrize("content", [b"", b"no key"])
def test_what_is_no_key_is_told(tmp_path: Path, bundle: Path, content: bytes) -> None:
    (tmp_path / "key.pem").write_bytes(content)
    with pytest.raises(SettingsError, match="PEM"):
        signature.sign(tiny.settings_for(tmp_path, registry={"signing_key": str(tmp_path / "key.pem")}), bundle)
    found = tiny.settings_for(tmp_path, registry={"trusted_keys": [str(tmp_path / "key.pem")]})
    with pytest.raises(SettingsError, match="PEM"):
        signature.trusted_keys(found)


def test_every_byte_of_the_payload_counts(settings: Settings, bundle: Path) -> None:
    signature.sign(settings, bundle)
    whole = (bundle / SIGNATURE).read_bytes()
    found = json.loads(whole)
    payload = bytearray(base64.b64decode(found["dsseEnvelope"]["payload"]))
    for at in range(0, len(payload), 7):
        payload[at] ^= 1
        found["dsseEnvelope"]["payload"] = base64.b64encode(bytes(payload)).decode()
        (bundle / SIGNATURE).write_text(json.dumps(found))
        with pytest.raises(SignatureError):
            signature.verify(settings, bundle)
        payload[at] ^= 1


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{}", b"[]", b"\xff", b'{"verificationMaterial": {}, "dsseEnvelope": {}}', b"x" * 5_000_000,
        b'{"verificationMaterial": {}, "dsseEnvelope": {"payload": "e30=", "payloadType": "t", "signatures": []}}',
    ],
    ids=["empty", "no fields", "a list", "no text", "empty fields", "huge", "no signature"],
)  # fmt: skip
def test_hostile_signature_file_is_refused(settings: Settings, bundle: Path, content: bytes) -> None:
    signature.sign(settings, bundle)
    (bundle / SIGNATURE).write_bytes(content)
    with pytest.raises(SignatureError):
        signature.verify(settings, bundle)


def test_signed_twice_in_one_envelope_is_refused(settings: Settings, bundle: Path) -> None:
    signature.sign(settings, bundle)
    found = json.loads((bundle / SIGNATURE).read_bytes())
    found["dsseEnvelope"]["signatures"] *= 2
    (bundle / SIGNATURE).write_text(json.dumps(found))
    with pytest.raises(SignatureError):
        signature.verify(settings, bundle)


def test_cache_takes_a_new_signature_and_leaves_the_model_alone(settings: Settings, tmp_path: Path) -> None:
    sha256 = tiny.write_bundle(tmp_path / "bundle")
    signature.sign(settings, tmp_path / "bundle")
    kept = cache.obtain(settings, tmp_path / "cache", sha256, lambda into: copied(tmp_path / "bundle", into))
    model = (kept / "model.onnx").stat().st_ino
    (kept / SIGNATURE).unlink()
    again = cache.obtain(settings, tmp_path / "cache", sha256, lambda into: copied(tmp_path / "bundle", into))
    assert (again / "model.onnx").stat().st_ino == model
    signature.verify(settings, again)


def test_cache_keeps_out_what_is_not_signed(settings: Settings, tmp_path: Path) -> None:
    sha256 = tiny.write_bundle(tmp_path / "bundle")
    with pytest.raises(BundleError, match=f"bundle {sha256[:12]}/bundle.sig"):
        cache.obtain(settings, tmp_path / "cache", sha256, lambda into: copied(tmp_path / "bundle", into))
    assert list((tmp_path / "cache").iterdir()) == []


def copied(source: Path, into: Path) -> Path:
    import shutil

    return Path(shutil.copytree(source, into / "copy"))


def no_disk(home: Path, **registry: Any) -> Settings:
    """A machine of several that share no disk."""
    return from_values({"home": str(home), "storage": {"url": "s3://refit/loop"}, "registry": registry})


def test_machines_without_a_shared_disk_sign_with_one_key_or_not_at_all(bundle: Path, tmp_path: Path) -> None:
    """Each would make a key of its own, which the others do not trust."""
    with pytest.raises(SettingsError, match="on each worker"):
        signature.sign(no_disk(tmp_path / "one"), bundle)
    assert not (tmp_path / "one" / "var").exists()
    signature.sign(no_disk(tmp_path / "one", signatures="off"), bundle)


@pytest.mark.parametrize("form", ["text", "one line", "file"])
def test_another_machine_trusts_the_common_key(bundle: Path, tmp_path: Path, form: str) -> None:
    file = key_file(tmp_path / "key.pem", ec.generate_private_key(ec.SECP256R1()))
    given = {"text": file.read_text(), "one line": file.read_text().replace("\n", "\\n"), "file": str(file)}[form]
    signature.sign(no_disk(tmp_path / "one", signing_key=given), bundle)
    signature.verify(no_disk(tmp_path / "two", signing_key=given), bundle)
    (public,) = (tmp_path / "one" / "var" / "trusted_keys").iterdir()
    signature.verify(no_disk(tmp_path / "serves", trusted_keys=[public.read_text()]), bundle)
    other = key_file(tmp_path / "other.pem", ec.generate_private_key(ec.SECP256R1())).read_text()
    with pytest.raises(SignatureError):
        signature.verify(no_disk(tmp_path / "stranger", signing_key=other), bundle)


def test_a_key_that_is_none_is_not_told(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as raised:
        signature.sign(no_disk(tmp_path / "one", signing_key="-----BEGIN EC PRIVATE KEY-----\nsecret"), bundle)
    assert "secret" not in str(raised.value)
