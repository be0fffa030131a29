"""A worker that can be told to send itself SIGTERM after some steps of a run."""

import runpy
import sys

from poc.shared.engine.folder.save_schedule import Saver
from poc.shared.engine.server.operations import ServedOperations
from poc.tests.helpers.workers.stub import stop_at


def stop_after(self, steps):
    """From now on; an empty list: never."""
    Saver.is_due = stop_at(set(steps))


if __name__ == "__main__":
    ServedOperations.stop_after = stop_after
    name = sys.argv[-1]
    sys.argv = ["server", name]
    runpy.run_module("poc.shared.engine.server", run_name="__main__")
