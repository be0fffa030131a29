"""Interpreters that plant one error in one backend: guards must be seen to fail.

An interpreter made here stands in for a worker's (POC_TF_PYTHON, POC_TORCH_PYTHON): it patches the
backend and hands over to the server.
"""

import shlex
import sys
from pathlib import Path

PLANT = """
import runpy, sys
from importlib import import_module
BACKEND = sys.argv[-1]
tree = import_module(f"poc.{BACKEND}_impl")
features, models, trainer = (
    # The package's name `features` is the function.
    import_module(f"poc.{BACKEND}_impl.{name}") for name in ("features", "models", "trainer")
)
update = import_module(f"poc.{BACKEND}_impl.optimizers.update")

def change_layer(node_name, attribute, value):
    build = models.build_layer
    def planted(node, **options):
        layer = build(node, **options)
        if node.name == node_name:
            assert hasattr(layer, attribute)
            setattr(layer, attribute, value)
        return layer
    models.build_layer = planted

def change_weight(name, change):
    load = features.load_weights
    def planted(model, weights):
        load(model, {**weights, name: change(weights[name])})
    features.load_weights = trainer.load_weights = planted

%s

sys.argv = ["server", BACKEND]
runpy.run_module("poc.shared.engine.server", run_name="__main__")
"""


def plant(folder: Path, error: str) -> Path:
    """An executable that runs a worker with this statement executed first."""
    script = folder / "plant.py"
    script.write_text(PLANT % error)
    interpreter = folder / "python"
    interpreter.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, str(script)])} "$@"\n')
    interpreter.chmod(0o755)
    return interpreter
