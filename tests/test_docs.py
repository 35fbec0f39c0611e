"""What the documents say is so: commands parse, settings exist, links lead somewhere, the site builds."""

from __future__ import annotations

import configparser
import importlib
import importlib.util
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from ml import settings
from ml.bundle import signature
from ml.errors import SettingsError
from tests.docs_commands import COMMANDS, PAGES, ROOT, Command
from tests.serving import tiny

BIN = Path(sys.executable).parent
SECTIONS = set(settings.to_values(settings.Settings()))
_CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_SETTING = re.compile(r"`(?:([a-z]+)\.)([a-z_]+)(?: = [^`]*)?`")
_VARIABLE = re.compile(r"\bREFIT_[A-Z0-9]+(?:_[A-Z0-9]+)*(?:__[A-Z0-9]+(?:_[A-Z0-9]+)*)?\b(?!_)")


def _redirected(words: list[str]) -> list[str]:
    """Without `> file`, `< file`."""
    kept: list[str] = []
    skip = False
    for word in words:
        if not skip and not (skip := word in (">", "<", ">>")):
            kept.append(word)
        else:
            skip = word in (">", "<", ">>")
    return kept


def _click(command: Any, arguments: list[str]) -> None:
    """Parse as click would, down to the last subcommand, and run nothing."""
    if arguments[-1:] == ["--help"]:
        arguments = arguments[:-1]
    while hasattr(command, "get_command") and arguments:
        name, found = arguments[0], command.get_command(None, arguments[0])
        assert found is not None, f"there is no command {name}"
        command, arguments = found, arguments[1:]
    if not hasattr(command, "get_command") and arguments:
        command.make_context(command.name, list(arguments))


def _python(arguments: list[str]) -> None:
    if arguments[0] != "-m":
        assert (ROOT / arguments[0]).is_file(), f"{arguments[0]} is not in the checkout"
        if arguments[0] == "predict_client.py":
            importlib.import_module("predict_client")._parser().parse_args(arguments[1:])
        return
    module, rest = arguments[1], arguments[2:]
    if module == "ml":
        _click(importlib.import_module("ml.cli").main, rest)
    elif module == "serving.auth":
        _click(importlib.import_module("serving.auth.keys").commands(), rest)
    elif module == "ops.backup":
        importlib.import_module("ops.backup").parser().parse_args(rest)
    elif module.startswith(("bench.", "tests.mutation")):
        told = subprocess.run([sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True)
        assert told.returncode == 0, told.stderr
        assert not [word for word in rest if word.startswith("--") and word not in told.stdout]
    else:
        assert module in ("venv", "pip"), f"python -m {module}: this test does not know how to check it"


def _curl(arguments: list[str]) -> None:
    """The address is a route of the service, by the method that is meant, and the body is JSON, or a file."""
    from serving.api import operations
    from serving.app import create_app

    address = next(word for word in arguments if word.startswith("http"))
    body = arguments[arguments.index("-d") + 1] if "-d" in arguments else None
    routes = {(op.method.upper(), op.path) for op in operations.of(create_app(settings.Settings()))}
    posts = body or "--data-binary" in arguments
    assert ("POST" if posts else "GET", urlsplit(address).path) in routes
    if body:
        json.loads(body)


def _compose(arguments: list[str]) -> None:
    """Names of services are names of services."""
    assert arguments[0] == "compose"
    known = yaml.safe_load((ROOT / "docker-compose.yaml").read_text(encoding="utf-8"))["services"]
    verb, rest = arguments[1], [word for word in arguments[2:] if not word.startswith("-")]
    named = [word.partition("=")[0] for word in rest]
    if verb == "exec":
        named = named[:1]
    assert verb in ("up", "down", "logs", "exec")
    assert set(named) <= set(known), f"not in docker-compose.yaml: {set(named) - set(known)}"


def _dask(arguments: list[str]) -> None:
    """By the commands of the extra."""
    from distributed.cli import dask_scheduler, dask_worker

    _click({"scheduler": dask_scheduler.main, "worker": dask_worker.main}[arguments[0]], arguments[1:])


def _tests(arguments: list[str]) -> None:
    assert not [word for word in arguments if "/" in word and not (ROOT / word).exists()]


def _tool(name: str) -> Callable[[list[str]], None]:
    return lambda _: _there(BIN / name)


def _supervisord(arguments: list[str]) -> None:
    _there(BIN / "supervisord")
    option, file = arguments
    assert option == "-c"
    assert (ROOT / file).is_file()


def _there(path: Path) -> None:
    assert os.access(path, os.X_OK), f"{path} cannot be run"


def _pipeline(arguments: list[str]) -> None:
    importlib.import_module("ops.__main__").parser().parse_args(arguments)


def _refit(arguments: list[str]) -> None:
    """By the program that is behind the word."""
    if arguments[0] == "init":
        importlib.import_module("refit.project").parser().parse_args(arguments[1:])
        return
    first, *rest = importlib.import_module("refit.__main__").command(arguments)
    if rest and rest[0] == "ops":
        _pipeline(rest[1:])
    else:
        _python([first, *rest])


def _export(arguments: list[str]) -> None:
    settings.from_environment(dict(word.split("=", 1) for word in arguments))


def _known(_: list[str]) -> None:
    """A tool of the system: nothing of ours in its arguments."""


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "./run_pipeline.sh": _pipeline,
    "./run_tests.sh": _tests,
    ".venv/bin/dask": _dask,
    ".venv/bin/python": _python,
    "python": _python,
    "python3.11": _python,
    "refit": _refit,
    "pipx": _known,
    "curl": _curl,
    "docker": _compose,
    "export": _export,
    "ops/compose_env.sh": lambda _: _there(ROOT / "ops" / "compose_env.sh"),
    "supervisord": _supervisord,
    **{f".venv/bin/{name}": _tool(name) for name in ("pre-commit", "pybabel", "mkdocs", "ruff")},
    **dict.fromkeys(("git", "mv", "cp", "chmod", "aws"), _known),
}


def test_there_are_commands_to_look_at() -> None:
    assert len(COMMANDS) > 25
    assert {"README.md", "README.vi.md"} <= {page.name for page in PAGES}


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_parses(command: Command) -> None:
    """Program known, options there, values of the right type, settings of its environment there."""
    settings.from_environment(command.variables)
    program, *arguments = _redirected(command.words)
    assert program in CHECKS, f"{program}: this test does not know how to check it"
    try:
        CHECKS[program](arguments)
    except SystemExit as refused:  # argparse's way
        if refused.code:
            pytest.fail(f"{command}: refused")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = _CODE.sub("", page.read_text(encoding="utf-8"))
    for target in _LINK.findall(text):
        if urlsplit(target).scheme or target.startswith("#"):
            continue
        assert (page.parent / target.partition("#")[0]).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_settings_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    known = settings.to_values(settings.Settings())
    for section, key in _SETTING.findall(text):
        if isinstance(known.get(section), dict) and key not in ("json", "py"):
            assert key in known[section], f"{page.name}: there is no setting {section}.{key}"
    for name in _VARIABLE.findall(text):
        try:
            settings.from_environment({name: "{}"})
        except SettingsError as error:
            pytest.fail(f"{page.name}: {error}")


@pytest.mark.parametrize("name", ["rest_api", "settings"])
def test_a_reference_is_what_the_code_says(name: str) -> None:
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    current = maker.PAGE.read_text(encoding="utf-8")
    assert current == maker.page(), f"renew it: .venv/bin/python docs/{name}.py"


def _compose_env(folder: Path) -> str:
    subprocess.run([ROOT / "ops" / "compose_env.sh", folder / ".env"], check=True, preexec_fn=lambda: os.umask(0))
    return (folder / ".env").read_text(encoding="utf-8")


def test_secrets_for_compose_are_the_owners_alone_and_never_replaced(tmp_path: Path) -> None:
    """From the first moment: the file is made with that mode, whatever the umask, and nothing has to be changed."""
    made = _compose_env(tmp_path)
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    script = (ROOT / "ops" / "compose_env.sh").read_text(encoding="utf-8")
    assert "os.O_EXCL" in script
    assert ", 0o600)" in script
    assert "chmod" not in script
    again = subprocess.run([ROOT / "ops" / "compose_env.sh", tmp_path / ".env"], capture_output=True, text=True)
    assert again.returncode == 1
    assert "left as it is" in again.stderr
    assert (tmp_path / ".env").read_text(encoding="utf-8") == made


def test_a_pair_of_keys_for_compose_signs_and_is_trusted(tmp_path: Path) -> None:
    """As they stand in the file: a worker signs with the one, and a service with a disk of its own has the other."""
    values = _values(_compose_env(tmp_path))
    names = ("REFIT_STORAGE__URL", "REFIT_REGISTRY__TRUSTED_KEYS")
    service = {"REFIT_HOME": str(tmp_path / "service")} | {name: values[name] for name in names}
    worker = service | {"REFIT_HOME": str(tmp_path / "worker")}
    worker["REFIT_REGISTRY__SIGNING_KEY"] = values["REFIT_REGISTRY__SIGNING_KEY"]
    tiny.write_bundle(tmp_path / "bundle")
    signature.sign(settings.load(worker), tmp_path / "bundle")
    signature.verify(settings.load(service), tmp_path / "bundle")


def test_an_env_of_an_earlier_version_keeps_its_lines_and_its_volumes(tmp_path: Path) -> None:
    """It gets what it lacks, and no storage or signing key that the installation does not know; once."""
    file = tmp_path / ".env"
    earlier = (
        "POSTGRES_PASSWORD=p\nREFIT_MLFLOW_PORT=5050\n# REFIT_TUNE__ENGINE=dask\nS3_ACCESS_KEY=\nAIRFLOW_JWT_SECRET=j"
    )
    file.write_text(earlier, encoding="utf-8")
    file.chmod(0o600)
    words = [ROOT / "ops" / "compose_env.sh", file]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "GRAFANA_ADMIN_PASSWORD" in done.stdout
    assert "goes on with its volumes" in done.stdout
    text = file.read_text(encoding="utf-8")
    assert text.startswith(earlier + "\n")
    values = _values(text)
    assert len(values["GRAFANA_ADMIN_PASSWORD"]) == 48
    assert (values["S3_ACCESS_KEY"], values["AIRFLOW_JWT_SECRET"]) == ("", "j")
    assert values["REFIT_STORAGE__URL"] == ""
    assert values["REFIT_REGISTRY__PUBLIC_URL"] == "http://127.0.0.1:5050"  # links followed the port until now
    assert "REFIT_SERVING__PUBLIC_URL" not in values
    assert all((ROOT / name).is_file() for name in values["COMPOSE_FILE"].split(":"))
    assert not {"REFIT_REGISTRY__SIGNING_KEY", "REFIT_REGISTRY__TRUSTED_KEYS"} & set(values)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert subprocess.run(words, capture_output=True).returncode == 1
    assert file.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("line", ["REFIT_STORAGE__URL=s3://bucket/prefix", "COMPOSE_FILE=mine.yaml"])
def test_an_env_with_a_storage_or_files_of_its_own_keeps_them(tmp_path: Path, line: str) -> None:
    file = tmp_path / ".env"
    file.write_text(f"{line}\n", encoding="utf-8")
    subprocess.run([ROOT / "ops" / "compose_env.sh", file], check=True, capture_output=True)
    text = file.read_text(encoding="utf-8")
    assert text.count("COMPOSE_FILE=") == (line.startswith("COMPOSE_FILE"))
    assert text.count("REFIT_STORAGE__URL=") == 1


def _values(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if line and line[0] != "#")


def test_secrets_for_compose_are_generated_and_complete(tmp_path: Path) -> None:
    values = _values(_compose_env(tmp_path))
    compose = (ROOT / "docker-compose.yaml").read_text(encoding="utf-8")
    wanted = set(re.findall(r"(?<!\$)\$\{(\w+):?\?", compose)) | {"GRAFANA_ADMIN_PASSWORD"}
    assert not {name for name in wanted if not values.get(name)}


def test_the_site_builds_strictly(tmp_path: Path) -> None:
    """No dead link between pages, no page outside of the navigation, no reference to code that is gone."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for page in ("deployment", "drift", "rest-api", "vi/first-steps", "vi/course"):
        assert (tmp_path / "site" / page / "index.html").stat().st_size > 5_000
    shutil.rmtree(tmp_path / "site")


def test_the_unit_and_the_proxy_fit_what_they_start() -> None:
    """The systemd unit calls commands that there are; nginx leads to the service's port and lets its bodies through."""
    unit, proxy = re.findall(r"^```ini\n(.*?)^```", (ROOT / "docs" / "deployment.md").read_text("utf-8"), re.M | re.S)
    parsed = configparser.ConfigParser()
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read_string(unit)
    for name in ("ExecStart", "ExecStop"):
        script, option = parsed["Service"][name].split()
        assert os.access(ROOT / Path(script).name, os.X_OK)
        assert f'"{option}"' in (ROOT / "ops" / "__main__.py").read_text("utf-8")
    default = settings.Settings()
    assert f"proxy_pass http://127.0.0.1:{default.serving_port};" in proxy
    assert f"client_max_body_size {default.serving.max_body_bytes // 1_000_000}m;" in proxy
    assert proxy.count("{") == proxy.count("}")


def test_every_picture_is_shown_and_made_by_the_script() -> None:
    """No orphan, nothing that no script can renew, nothing heavy."""
    sys.path.insert(0, str(ROOT / "docs" / "shots"))
    try:
        shots = importlib.import_module("take").SHOTS
    finally:
        sys.path.remove(str(ROOT / "docs" / "shots"))
    made = {f"{shot.name}.png" for shot in shots if shot.in_docs}
    pictures = {path.name: path.stat().st_size for path in (ROOT / "docs" / "images").glob("*.png")}
    shown = {Path(target).name for page in PAGES for target in _LINK.findall(page.read_text(encoding="utf-8"))}
    assert set(pictures) == made
    assert made <= shown
    assert max(pictures.values()) < 200_000


TRANSLATED = {
    ROOT / "README.md": ROOT / "README.vi.md",
    ROOT / "docs/how-to.md": ROOT / "docs/vi/how-to.md",
    ROOT / "docs/index.md": ROOT / "docs/vi/first-steps.md",
}


def _shape(page: Path) -> dict[str, int]:
    """How many headings, rows of tables, pictures and blocks of commands a page has."""
    text = page.read_text(encoding="utf-8")
    bare = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    counts = {"headings": r"^##+ ", "rows": r"^\|", "pictures": r"^!\["}
    shape = {what: len(re.findall(pattern, bare, re.MULTILINE)) for what, pattern in counts.items()}
    return shape | {"blocks": text.count("\n```bash\n")}


def _pages(page: Path) -> set[Path]:
    """The documents that a page leads to."""
    targets = [target.partition("#")[0] for target in _LINK.findall(_CODE.sub("", page.read_text(encoding="utf-8")))]
    return {
        (page.parent / target).resolve() for target in targets if target.endswith(".md") and not urlsplit(target).scheme
    }


@pytest.mark.parametrize("english", TRANSLATED, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_vietnamese_page_has_what_the_english_one_has(english: Path) -> None:
    """No section, row, picture, command or page that readers of one language alone are told of."""
    vietnamese = TRANSLATED[english]
    asked, there = _shape(english), _shape(vietnamese)
    assert not {what: (n, there[what]) for what, n in asked.items() if there[what] < n}
    known = _pages(vietnamese) | {vietnamese}
    assert not {page.name for page in _pages(english) if not {page, TRANSLATED.get(page, page)} & known}
