"""`ml clean`: says what it deletes, and deletes nothing that was not asked for."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ml.cli import main


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that was begun 40 days ago, in the home."""
    monkeypatch.setenv("REFIT_HOME", str(tmp_path))
    monkeypatch.setenv("REFIT_CONFIG", str(tmp_path / "refit.toml"))
    monkeypatch.setenv("REFIT_REGISTRY__TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    for key in ("old", "new"):
        folder = tmp_path / "var" / "runs" / key
        folder.mkdir(parents=True)
        (folder / "settings.json").write_text("{}")
    for path in (tmp_path / "var" / "runs" / "old" / "settings.json", tmp_path / "var" / "runs" / "old"):
        os.utime(path, (path.stat().st_mtime - 40 * 86_400,) * 2)
    return tmp_path / "var" / "runs" / "old"


def called(*words: str) -> Result:
    return CliRunner().invoke(main, ["clean", *words])


def test_it_asks_how_many_are_kept(run: Path) -> None:
    done = called()
    assert done.exit_code == 2
    assert "--keep N, or storage.keep_runs" in done.output
    assert run.exists()


def test_it_says_what_would_go_and_what_went(run: Path) -> None:
    assert called("--keep", "2").output == "deleted: 0 runs, 0 snapshots, 0.0 MB; kept: 2 runs, 0 snapshots\n"
    would = called("--keep", "1", "--dry-run")
    assert would.output == ("  run old\nwould be deleted: 1 runs, 0 snapshots, 0.0 MB; kept: 1 runs, 0 snapshots\n")
    assert run.exists()
    done = json.loads(called("--set", "storage.keep_runs=1", "--json").stdout)
    assert (done["runs"], done["kept_runs"], done["bytes"]) == (["old"], 1, 2)
    assert not run.exists()
