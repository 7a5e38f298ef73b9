"""`python -m fuzz SECONDS [TARGET …]`: each target for so long. Inputs that break one are kept in `fuzz/found`."""

import importlib
import os
import sys
from pathlib import Path

CORPUS, FOUND = Path("fuzz/corpus"), Path("fuzz/found")


def fuzz(name: str, seconds: int) -> None:
    """Run one target in this process; it ends with exit code 0 after its time, else with the input that broke it."""
    atheris = importlib.import_module("atheris")  # not for the tests, and without types
    with atheris.instrument_imports(include=["turnout.collect"]):
        from fuzz.targets import TARGETS  # noqa: PLC0415 - instrumented
    target, seeds = TARGETS[name]
    corpus = CORPUS / name
    corpus.mkdir(parents=True, exist_ok=True)
    FOUND.mkdir(exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    limits = [
        f"-max_total_time={seconds}",
        "-timeout=10",
        "-rss_limit_mb=2048",
        "-max_len=40000",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], str(corpus), f"-artifact_prefix={FOUND}/{name}-", *limits], target)
    atheris.Fuzz()


def main(arguments: list[str]) -> int:
    """Every target named, else all, each in a process of its own; 1 if one was broken."""
    from fuzz.targets import TARGETS  # noqa: PLC0415 - only the names

    seconds, names = arguments[0], arguments[1:] or list(TARGETS)
    if len(names) == 1:
        os.execv(
            sys.executable,
            [sys.executable, "-c", f"from fuzz.__main__ import fuzz; fuzz({names[0]!r}, {int(seconds)})"],
        )
    broken = [
        name for name in names if os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-m", "fuzz", seconds, name])
    ]
    print(f"broken: {', '.join(broken)}; inputs in {FOUND}" if broken else f"{len(names)} targets hold")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
