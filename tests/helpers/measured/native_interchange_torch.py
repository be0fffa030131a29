"""Run by test_native_torch.py in a process of its own: prints how PyTorch's tools and eager differ.

Arguments: a folder, tools (export, onnx, aot_eager, inductor) joined by commas, then names of rows
of the table of architectures. All tools take the module in evaluation mode, and know nothing of
this project.
"""

import json
import sys
from pathlib import Path

import torch  # noqa: TID253

from poc.tests.helpers.measured.native_nets_torch import declare, relative
from poc.torch_impl import build_native_model

BATCH_OF_ANY_SIZE = ({0: torch.export.Dim("batch")},)


def export(model, images, path):
    program = torch.export.export(model, (images,), dynamic_shapes=BATCH_OF_ANY_SIZE)
    torch.export.save(program, path)
    return torch.export.load(path).module()


def onnx(model, images, path):
    import onnxruntime

    torch.onnx.export(
        model,
        (images,),
        path,
        dynamo=True,
        dynamic_shapes=BATCH_OF_ANY_SIZE,
        verbose=False,
        external_data=False,
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (entrance,) = session.get_inputs()
    return lambda batch: torch.from_numpy(session.run(None, {entrance.name: batch.numpy()})[0])


def compile_with(backend):
    # `fullgraph` refuses a module that falls back to Python somewhere.
    return lambda model, images, path: torch.compile(model, backend=backend, fullgraph=True)


TOOLS = {
    "export": export,
    "onnx": onnx,
    "aot_eager": compile_with("aot_eager"),
    "inductor": compile_with("inductor"),
}


@torch.no_grad()
def compare(tools, name, folder):
    network, weights, names, images = declare(name)
    model = build_native_model(network, weights, names).eval()
    batches = [images, images[:2]]
    expected = [model(batch) for batch in batches]
    errors = {}
    for tool in tools:
        torch._dynamo.reset()
        path = Path(folder) / f"{name.replace(' ', '_')}.{'onnx' if tool == 'onnx' else 'pt2'}"
        made = TOOLS[tool](model, images, str(path))
        pairs = zip(batches, expected, strict=True)
        errors[tool] = [relative(made(batch), value) for batch, value in pairs]
    return errors


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, tools, *rows = sys.argv[1:]
    print(json.dumps({row: compare(tools.split(","), row, folder) for row in rows}))
