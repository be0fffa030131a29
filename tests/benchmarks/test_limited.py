"""Commands with a time limit, of `benchmarks/limited.py`."""

import subprocess
import sys

PARENT = """
import subprocess, sys
from poc.benchmarks.limited import end_on_request, ending
end_on_request()
child = subprocess.Popen(["sleep", "300"], start_new_session=True)
with ending(child):
    print(child.pid, flush=True)
    child.wait()
"""


def test_a_command_ends_with_the_process_that_started_it():
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True
    ) as parent:
        child = int(parent.stdout.readline())
        parent.terminate()
        assert parent.wait(60) == 143
    # It is gone: no signal can be sent to it.
    assert subprocess.run(["kill", "-0", str(child)], stderr=subprocess.DEVNULL).returncode
