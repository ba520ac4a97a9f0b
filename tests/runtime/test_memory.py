from __future__ import annotations

import subprocess
import sys

from modalnb.runtime import memory

#: A process with a child; both hold 64 MiB and tell when they do.
CODE = """
import subprocess, sys, time
block = b"x" * 64 * 2**20
child = None
if "child" not in sys.argv:
    child = subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[1], "child"])
else:
    print("ready", flush=True)
time.sleep(60)
"""


def test_memory_of_a_process_counts_what_it_started() -> None:
    command = [sys.executable, "-c", CODE, CODE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        used = memory.used_bytes(parent.pid)
        assert 128 * memory.MIB < used < 256 * memory.MIB
        memory.kill_family(parent.pid)
        assert parent.wait(10) < 0
        # The child held the other end of this pipe.
        assert parent.stdout.read() == ""


def test_memory_of_one_process_is_what_is_resident() -> None:
    command = [sys.executable, "-c", CODE, "", "child"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert 64 * memory.MIB < memory.used_bytes(process.pid) < 128 * memory.MIB
        process.kill()


def test_process_that_is_gone_uses_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert memory.used_bytes(process.pid) == 0
    memory.kill_family(process.pid)


def test_story_names_both_numbers() -> None:
    text = memory.story(1_203 * memory.MIB, 1_024)
    assert text == "used 1,203 MiB, more than its memory limit of 1,024 MiB"
