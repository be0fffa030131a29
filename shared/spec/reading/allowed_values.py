"""Allowed values of a setting in words, and one value as an example.

Both come from the JSON schema that pydantic makes of a group of settings. A changed bound in the
spec therefore changes `poc config keys`, `poc config init` and the settings page too.
"""

import json
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]
KINDS = {"integer": "integer", "number": "number", "string": "text", "boolean": "true or false"}
# Keyword of the schema -> the bound in words.
BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
}
# Key of a setting -> an example, if neither its default nor its allowed values give one.
EXAMPLES: Mapping[str, Any] = {
    "model.name": "lightnet_residual",
    "model.dropout": 0.2,
    "model.repeats": [5, 10, 5],
    "initial_weights": "weights.safetensors",
    "teacher.model": "resnet32_cifar",
    "teacher.weights": "runs/teacher",
    "teacher.class_order": [2, 0, 1],
    "data.class_pattern": "person[0-9]+_(bacteria|virus)",
    "data.cache_folder": "cache",
    "data.split.group_pattern": "(person[0-9]+)",
    "data.split.file": "split.json",
    "data.split.train_sample": 0.1,
    "method_options.beta": 1000.0,
    "method_options.pairs": ["block3>block3"],
    "method_options.soft_weights": [0.5, 0.5],
    "method_options.warmup_epochs": 5,
    "method_options.source_taps": ["block2", "block3"],
    "method_options.target_taps": ["block2", "block3"],
    "method_options.clip_norm": 5.0,
    "method_options.meta_clip_norm": 1.0,
    "method_options.channels_file": "channels.json",
}


def describe_values(schema: Schema) -> str:
    """Say which values a setting takes: `integer, at least 1`; `one of tf, torch`.

    The words leave out none: TOML has no such value, and a line that is left out means it.
    """
    if "anyOf" in schema:
        forms = [form for form in schema["anyOf"] if form.get("type") != "null"]
        return ", or ".join(map(describe_values, forms))
    if "enum" in schema or "const" in schema:
        values = [str(value) for value in schema.get("enum", [schema.get("const")])]
        return values[0] if len(values) == 1 else f"one of {', '.join(values)}"
    kind = schema.get("type")
    if kind == "array":
        return describe_list(schema)
    if kind == "object" or "$ref" in schema:
        return "a table of settings"
    if "minimum" in schema and "maximum" in schema:
        return f"{KINDS[str(kind)]}, {write(schema['minimum'])} to {write(schema['maximum'])}"
    bounds = [form.format(write(schema[key])) for key, form in BOUNDS.items() if key in schema]
    return f"{KINDS[str(kind)]}{', ' if bounds else ''}{' and '.join(bounds)}"


def describe_list(schema: Schema) -> str:
    """Say how many entries a list has, and what each may be."""
    entries = schema.get("prefixItems")
    entry = describe_values(entries[0] if entries else schema["items"])
    count = schema.get("minItems")
    if count is not None and count == schema.get("maxItems"):
        return f"a list of {count}, each: {entry}"
    return f"a list{f' of at least {count}' if count else ''}, each: {entry}"


def find_example(key: str, schema: Schema) -> Any:
    """Return a value that a setting takes; none if no value is known.

    It is the spec's own example, or else a choice other than the default. Numbers and texts give
    their default, since no other value is known to make sense.
    """
    default = schema.get("default")
    if schema.get("examples"):
        return schema["examples"][0]
    forms = schema.get("anyOf", [schema])
    for form in forms:
        others = [value for value in form.get("enum", ()) if value != default]
        if others:
            return others[0]
    if isinstance(default, bool):
        return not default
    if default not in (None, "", []):
        return default
    least = next((form["minimum"] for form in forms if form.get("minimum")), None)
    return EXAMPLES.get(key, least)


def write(value: Any) -> str:
    """Write a value as TOML does, and none as `none`."""
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        entries = ", ".join(f"{write_key(key)} = {write(item)}" for key, item in value.items())
        return f"{{ {entries} }}" if entries else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(write, value))}]"
    # TOML's strings, numbers and booleans are those of JSON.
    return json.dumps(value, ensure_ascii=False)


def write_key(key: str) -> str:
    """Write a key as TOML does: in quotes if it is more than a word."""
    return key if key.replace("_", "").isalnum() else json.dumps(key)
