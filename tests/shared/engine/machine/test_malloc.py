"""The heap that PyTorch's process keeps on a CPU."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from poc.shared.engine.machine.malloc import keep_heap

def resident_bytes():
    return 4096 * int(Path("/proc/self/statm").read_text().split()[1])

if sys.argv[1] == "kept":
    assert keep_heap()
before = resident_bytes()
block = np.ones(1 << 25)
del block
print(resident_bytes() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is no glibc")
@pytest.mark.parametrize("heap", ["kept", "given back"])
def test_a_block_that_was_freed_stays_where_the_heap_is_kept(heap):
    command = [sys.executable, "-c", SCRIPT, heap]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    size = 8 * (1 << 25)
    assert int(done.stdout) > 0.9 * size if heap == "kept" else int(done.stdout) < 0.1 * size
