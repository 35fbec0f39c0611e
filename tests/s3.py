"""An S3 server of a test's own (SeaweedFS, one program of a Python package), which can be ended and started again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tests.ports import free_ports

KEY, SECRET, BUCKET = "test-key", "test-secret", "refit-test"
GRPC = 10_000  # SeaweedFS's own ports lie so far above those of HTTP
START_S = 60.0


def binary() -> str | None:
    """The program `weed`, of this environment or of the machine; None where it is not installed."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


class Server:
    """One on the folder `place`."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._process: subprocess.Popen[bytes] | None = None
        self._ports = dict(zip(("master", "volume", "filer", "s3"), free_ports(4, GRPC), strict=True))

    @property
    def endpoint(self) -> str:
        """Its address, without the scheme."""
        return f"127.0.0.1:{self._ports['s3']}"

    def address(self, prefix: str, *, bucket: str = BUCKET) -> str:
        """For `storage.url`."""
        return f"s3://{bucket}/{prefix}?endpoint_override={self.endpoint}&scheme=http"

    def start(self) -> None:
        """Start, and wait until it takes what is put and gives it back."""
        (self._place / "data").mkdir(parents=True, exist_ok=True)
        keys = {"accessKey": KEY, "secretKey": SECRET}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        config = self._place / "s3.json"
        config.write_text(json.dumps({"identities": [{"name": "test", "credentials": [keys], "actions": actions}]}))
        program = binary()
        assert program is not None
        command = [
            program, "server", f"-dir={self._place / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
            "-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=0", "-filer", "-s3",
            f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0",
            *(f"-{name}.port={port}" for name, port in self._ports.items()),
        ]  # fmt: skip
        with (self._place / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._place)
        _wait(self._answers, "the S3 server")

    def stop(self) -> None:
        """End it at once, as a crash of it would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        import pyarrow.fs as pafs

        try:
            with urllib.request.urlopen(f"http://{self.endpoint}/healthz", timeout=2) as response:
                response.read()
            system = pafs.S3FileSystem(
                access_key=KEY, secret_key=SECRET, endpoint_override=self.endpoint, scheme="http",
                allow_bucket_creation=True,
            )  # fmt: skip
            system.create_dir(BUCKET)
            with system.open_output_stream(f"{BUCKET}/probe") as stream:
                stream.write(b"x")
            with system.open_input_stream(f"{BUCKET}/probe") as found:
                return bool(found.read() == b"x")
        except (OSError, urllib.error.URLError):
            return False


def environment() -> dict[str, str]:
    """The keys as a process of ours takes them; a machine of Amazon's is not looked for."""
    return {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_EC2_METADATA_DISABLED": "true"}


def _wait(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + START_S
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.1)
