"""Pictures of every page: `python -m tests.ui.screenshots FOLDER [PART OF THE ADDRESS]`; see `make screenshots`.

Per address a wide light one, a wide dark one and a narrow one.
"""

import re
import sys
import tempfile
from pathlib import Path

from tests.support.server import Server
from tests.support.ui import administrator, chromium, eyes
from tests.ui.living import CONFIG, live
from tests.ui.places import PLACES

LOOKS = (("light", 1440), ("dark", 1440), ("light", 360))


def main(folder: Path, part: str) -> None:
    """Take them."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data"
        server = Server(data, CONFIG)
        session = administrator(data)
        with server, chromium() as browser:
            live(server)
            for path in (one for paths in PLACES.values() for one in paths if part in one):
                name = re.sub(r"[^a-z0-9]+", "-", path.lower()).strip("-")
                for theme, width in LOOKS:
                    with eyes(browser, server, session, theme=theme, width=width) as look:
                        look.go(path).screenshot(path=folder / f"{name}-{theme}-{width}.png", full_page=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
