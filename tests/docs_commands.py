"""Every command in the shell blocks of the documents."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


_BLOCK = re.compile(r"^```(?:bash|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Command(NamedTuple):
    """One command of a shell block: variables before it, program, arguments."""

    page: Path
    variables: dict[str, str]
    words: list[str]

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {' '.join(self.words)}"


def commands() -> Iterator[Command]:
    """Every command of every shell block."""
    for page in PAGES:
        for block in _BLOCK.findall(page.read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                yield from _commands_of(page, line)


def _commands_of(page: Path, line: str) -> Iterator[Command]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
    lexer.whitespace_split, lexer.commenters = True, "#"
    part: list[str] = []
    for word in [*lexer, "&&"]:
        if word not in ("&&", "|", ";"):
            part.append(word)
            continue
        variables = {}
        while part and re.fullmatch(r"[A-Z_][A-Z0-9_]*=.*", part[0]):
            name, _, value = part.pop(0).partition("=")
            variables[name] = value
        if part:
            yield Command(page, variables, part)
        part = []


COMMANDS = list({str(command): command for command in commands()}.values())
