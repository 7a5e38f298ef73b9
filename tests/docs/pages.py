"""The pages of the documentation, as blocks and the hidden remarks that steer how they are run.

A fenced block is run or checked by its language: `console` is a transcript, `yaml` a configuration, `json` an
event, `python`, `ini` and others are files for the commands that follow. Remarks are HTML comments on a line of
their own, `<!-- word: value -->`. Before a block: `file` names the file it is written to, `exit` the exit code its
commands end with, `not run` the reason why nobody can run it here. Between blocks: `run` is a command the reader
does not see, `start` one that goes on, `stop` the Ctrl-C for the last such command with that word in it, and
`checkout` makes the page's folder a copy of this repository; `generated`, `end` and `figures` mark places.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "SECURITY.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if "decisions" not in path.parts),
]

_REMARK = re.compile(r"<!-- ([a-z ]+?)(?:: (.*?))? -->")
_FENCE = re.compile(r"```(\w*)")


class Remark(NamedTuple):
    """A hidden comment that stands for itself."""

    word: str
    value: str


class Block(NamedTuple):
    """A fenced block; `line` is the number of its first line of text, from 0."""

    language: str
    line: int
    text: str
    remarks: dict[str, str]


def name_of(page: Path) -> str:
    """The page's path in the repository."""
    return str(page.relative_to(ROOT))


def steps(text: str) -> Iterator[Remark | Block]:
    """The blocks and remarks of a page, in order; a remark that belongs to a block comes with it."""
    waiting: dict[str, str] = {}
    lines = iter(enumerate(text.splitlines()))
    for number, line in lines:
        if (remark := _REMARK.fullmatch(line)) is not None:
            if remark[1] in {"file", "exit", "not run"}:
                waiting[remark[1]] = remark[2] or ""
            else:
                yield Remark(remark[1], remark[2] or "")
        elif (fence := _FENCE.fullmatch(line)) is not None:
            body: list[str] = []
            for _, inner in lines:
                if inner == "```":
                    break
                body.append(inner)
            yield Block(fence[1], number + 1, "\n".join(body) + "\n", waiting)
            waiting = {}
    assert not waiting, f"a remark without its block: {waiting}"


def blocks(text: str, language: str = "") -> list[Block]:
    """The blocks of a page, of one language if given."""
    return [step for step in steps(text) if isinstance(step, Block) and language in ("", step.language)]
