"""REDbot, a public checker of HTTP, finds nothing bad in what comes through the gateway."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from sys import executable

from tests.web.conftest import Url


def _notes(url: str) -> list[dict[str, str]]:
    """What REDbot has to say of a resource."""
    line = [str(Path(executable).parent / "redbot"), "-o", "har", url]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=True)
    entries = json.loads(done.stdout)["log"]["entries"]
    return [note for entry in entries for note in entry["_red_messages"]]


def test_nothing_bad_is_found(url: Url) -> None:
    paths = ["fragile", "api/bytes/100000", "api/log", "api/nothing", "twice/docs"]
    with ThreadPoolExecutor(len(paths)) as threads:
        found = list(threads.map(_notes, [url(path) for path in paths]))
    assert all(found), "each has notes"
    assert [note for notes in found for note in notes if note["level"] == "BAD"] == []
