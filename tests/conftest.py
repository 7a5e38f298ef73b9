"""Where tests keep their files: in memory, if there is room, so that none waits for a disk that others are writing to.

Programs that the tests start follow, by `TMPDIR`. Whoever set that has chosen already.
"""

import os
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")
_ROOM = 4 << 30

if "TMPDIR" not in os.environ and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM:
    os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)
