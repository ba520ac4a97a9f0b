"""A FastAPI app behind the gateway keeps the promises of its own schema, says schemathesis."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable


def test_responses_are_those_of_the_schema(open_gateway: Callable[..., str]) -> None:
    base = f"{open_gateway(rate=0)}/site/store"
    line = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{base}/openapi.json", "--url", base),
        *("--max-examples", "10", "--phases", "examples,coverage,fuzzing", "--seed", "1"),
        *("--generation-database", "none", "--warnings", "off", "--no-color"),
        # Starlette itself names the methods of one route where a path has several.
        *("--exclude-checks", "allow_header_conformance"),
    ]
    done = subprocess.run(line, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
