"""tf_impl and torch_impl are translations of each other: files, names, order, signatures."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TREES = ("tf_impl", "torch_impl")
# Methods that only one framework asks for, and the two names of one thing. The only exceptions.
ONE_SIDED = {
    *("build", "build_from_config", "extra_repr", "from_config", "get_config", "update_step"),
}
TRANSLATED = {"call": "forward"}
# The types of TensorFlow and Keras that have a counterpart, as they stand in signatures.
TRANSLATED_TYPES = {
    "tf.Tensor": "torch.Tensor",
    "tf.Variable": "torch.Tensor",
    "keras.Variable": "torch.Tensor",
    "keras.Model": "nn.Module",
    "keras.layers.Layer": "nn.Module",
    "keras.optimizers.Optimizer": "torch.optim.Optimizer",
}
# What changes how a function is called, so that it belongs to the signature.
CALL_STYLES = {"property", "staticmethod", "classmethod"}
WORDS = re.compile(r"[\w.]+")


def files(tree: str) -> set[str]:
    return {path.relative_to(ROOT / tree).as_posix() for path in (ROOT / tree).rglob("*.py")}


def signature(node: ast.FunctionDef) -> str:
    styles = [
        f"@{decorator.id} "
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Name) and decorator.id in CALL_STYLES
    ]
    returns = ast.unparse(node.returns) if node.returns else None
    return translated(f"{''.join(styles)}({ast.unparse(node.args)}) -> {returns}")


def translated(text: str) -> str:
    """The text with TensorFlow's types replaced by PyTorch's."""
    return WORDS.sub(lambda word: TRANSLATED_TYPES.get(word[0], word[0]), text)


def declares_fields(node: ast.ClassDef) -> bool:
    """Whether the class is a dataclass or a NamedTuple: its annotations are its signature."""
    return any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list) or any(
        ast.unparse(base).endswith("NamedTuple") for base in node.bases
    )


def public_api(tree: str, file: str) -> dict[str, str]:
    """Map each public qualified name to its signature, read without importing a framework."""
    api = {}

    def visit(body: list[ast.stmt], prefix: str, *, has_fields: bool = False) -> None:
        for node in body:
            match node:
                case ast.FunctionDef(name=name) if name == "__init__" or not name.startswith("_"):
                    if prefix and name in ONE_SIDED:
                        continue
                    api[prefix + (TRANSLATED.get(name, name) if prefix else name)] = signature(node)
                case ast.ClassDef(name=name) if not name.startswith("_"):
                    api[prefix + name] = "class"
                    visit(node.body, f"{prefix}{name}.", has_fields=declares_fields(node))
                case ast.AnnAssign(target=ast.Name(id=name)) if has_fields:
                    api[prefix + name] = translated(ast.unparse(node))
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=value)
                    | ast.AnnAssign(target=ast.Name(id=name), value=value)
                ) if name.isupper() and not name.startswith("_") and not prefix:
                    # A table may hold framework objects; a plain number or string must be equal.
                    plain = isinstance(value, ast.Constant)
                    api[name] = f"constant {ast.unparse(value)}" if plain else "constant"

    visit(ast.parse((ROOT / tree / file).read_text(encoding="utf-8")).body, "")
    return api


def test_same_files() -> None:
    assert files("tf_impl")
    assert files("tf_impl") == files("torch_impl")


@pytest.mark.parametrize("file", sorted(files("tf_impl") & files("torch_impl")))
def test_same_public_names_and_signatures(file: str) -> None:
    # As lists, so that the order of definitions counts too: a diff of the trees must read well.
    assert list(public_api("tf_impl", file).items()) == list(public_api("torch_impl", file).items())
