"""A writer of the configuration, as a process of its own: adds a source again and again until it is killed.

    python -m tests.crash.configuring DATA WRITER

Each line on stdout is the name of a source whose version is durable.
"""

import itertools
import sys
from pathlib import Path

from turnout.control.access.database import Database
from turnout.control.configuration.edit import Editor
from turnout.control.configuration.secrets import Secrets
from turnout.control.configuration.store import Configurations
from turnout.model.errors import ConfigConflictError

SITE = ("sites", "29")


def main(data: Path, writer: str) -> None:
    """Add a source by an edit, twice, then by applying a whole text; who is told that it has changed goes on."""
    versions = Configurations(data, Database.of(data), {}, Secrets(data.parent / "data.key"))
    for step in itertools.count():
        name = f"{writer}-{step}"

        def change(editor: Editor, name: str = name) -> None:
            editor.set([*SITE, "sources", name], {"type": "web", "key": f"key-{name}"})

        if step % 3 < 2:
            versions.edit(writer, "api", step, change)
        else:
            current = versions.current()
            assert current is not None
            editor = Editor(current.text)
            change(editor)
            try:
                versions.apply(editor.text, writer, "cli", step, expected=current.hash)
            except ConfigConflictError:
                continue
        print(name, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
