"""Certificates for servers of tests."""

import subprocess
from pathlib import Path


def make_certificate(folder: Path, name: str, *more: str) -> tuple[Path, Path]:
    """A certificate for `name` and `more` that is its own authority, and its key."""
    hosts = ",".join(f"DNS:{host}" for host in (name, *more))
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName={hosts},IP:127.0.0.1", "-days", "2"]
    subprocess.run([*command, *names, "-out", certificate, "-keyout", key], check=True, capture_output=True)
    return certificate, key
