"""Facts on disk: each process replaces its own small file, everyone may read all of them."""

from pathlib import Path

import msgspec

from turnout.model.facts import Facts

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Facts).decode


def publish(data_dir: Path, facts: Facts) -> None:
    """Replace this process's facts. Raises OSError; not durable, they are out of date in a second."""
    folder = data_dir / "run"
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f"{facts.process}.new"
    fresh.write_bytes(_encode(facts))
    fresh.replace(folder / f"{facts.process}.json")


def withdraw(data_dir: Path, process: str) -> None:
    """This process ends and says nothing more: whoever looks need not wait to find it silent."""
    (data_dir / "run" / f"{process}.json").unlink(missing_ok=True)


def read(data_dir: Path) -> dict[str, Facts]:
    """What each process said last, by its name. A file that can't be read counts as a silent process."""
    found = {}
    for path in sorted((data_dir / "run").glob("*.json")):
        try:
            facts = _decode(path.read_bytes())
        except (OSError, msgspec.MsgspecError):
            continue
        found[facts.process] = facts
    return found
