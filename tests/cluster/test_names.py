"""Ids of containers become parts of job scripts and shell commands."""

from __future__ import annotations

import re

import pytest

from modalnb.cluster.backends.base import container_name


@pytest.mark.parametrize(
    "function", ["work", "<lambda>", "Größe", "a b;rm -rf ~", "x" * 500, "", "日本", "Model.run"]
)
def test_container_name_is_safe_wherever_job_queues_put_it(function: str) -> None:
    name = container_name(function, "0f3a", 7)
    assert re.fullmatch(r"ta-[A-Za-z0-9][A-Za-z0-9._-]*-0f3a-7", name)
    assert len(name) <= 60
