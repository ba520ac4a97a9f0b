"""The credentials of an engine: made beside it, enough for Dask, and never a silent failure."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from modalnb.api import current

#: In a process of its own, since it forks.
CODE = """
import json, ssl, sys
from distributed import Security
from modalnb.cluster.credentials import begin_credentials, credentials_of
{before}
security = begin_credentials()()
roles = ("client", "scheduler", "worker")
contexts = [security.get_listen_args(role)["ssl_context"] for role in roles]
print(json.dumps({{
    "is_required": security.require_encryption,
    "verifies": [context.verify_mode == ssl.CERT_REQUIRED for context in contexts],
    "is_private": "PRIVATE KEY" in credentials_of(security)["tls_worker_key"],
    "for_containers": sorted(credentials_of(security)),
    "is_imported": "cryptography" in sys.modules,
}}))
"""


def _run(before: str = "") -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", CODE.format(before=before)]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)


def test_credentials_serve_every_role_and_leave_no_library_behind() -> None:
    done = _run()
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["is_required"]
    assert facts["verifies"] == [True] * 3
    assert facts["is_private"]
    assert not any("scheduler" in name for name in facts["for_containers"])
    assert not facts["is_imported"]


def test_credentials_that_cannot_be_made_are_an_error_with_its_cause() -> None:
    done = _run("Security.temporary = lambda: 1 / 0")
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert "RuntimeError: The engine's credentials could not be made" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_engine_does_not_hold_the_library(engine: None) -> None:
    session = current.session()
    assert session is not None
    assert session.engine is not None
    maps = Path(f"/proc/{session.engine.pid}/maps").read_text()
    assert "libssl" in maps or "_ssl" in maps
    assert "cryptography" not in maps
