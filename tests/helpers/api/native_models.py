"""What a user does with a run in a process of one framework; prints the numbers as JSON.

Usage: python native_models.py BACKEND RUN_FOLDER IMAGE...
"""

import json
import sys

import poc


def main(backend, folder, *images):
    prepared = poc.prepare_images(folder, images)
    model = poc.load_model(folder, backend=backend)
    twin = poc.build_model("lightnet_plain", backend=backend, **SHAPE, weights=None, seed=5)
    found = {"prepared": list(prepared.shape)}
    if backend == "tf":
        found["logits"] = model.predict(prepared, verbose=0).tolist()
        found["start"] = twin(prepared).numpy().tolist()
        found["layers"] = [layer.name for layer in model.layers]
        found["is_training"] = False
    else:
        import torch

        found["is_training"] = model.training
        pixels = torch.from_numpy(prepared).permute(0, 3, 1, 2)
        with torch.no_grad():
            found["logits"] = model(pixels).tolist()
            found["start"] = twin.eval()(pixels).tolist()
        found["layers"] = [name for name, _ in model.named_modules()]
    others = {"tf": "torch", "torch": "tensorflow"}
    found["has_other"] = others[backend] in sys.modules
    print(json.dumps(found))


SHAPE = {"input_shape": (16, 16, 3), "num_classes": 2, "widths": [4, 4], "k": 1}

if __name__ == "__main__":
    main(*sys.argv[1:])
