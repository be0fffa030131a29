"""The files of `poc explain`: the numbers as JSON, and a page with a text for each picture."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import jinja2

from poc.shared.files.whole import finite
from poc.shared.shown_names import plain

from .explain import Explanation, Unreadable
from .methods import GradCam, Method
from .places import name_place

PAGE = "explanations.html.jinja"
TITLES = {"gradcam": "Grad-CAM", "occlusion": "Occlusion"}


class BackendRow(TypedDict):
    """The finding of one framework; `map` has the rows of the map."""

    backend: str
    label: str | None
    probability: float
    strongest: str
    is_zero: bool
    map: list[list[float]]


class ImageRow(TypedDict):
    """An explained image, or with a `problem` one that cannot be read.

    `text` stands for the picture, `largest_difference` is between the frameworks' maps.
    """

    file: str
    problem: str
    class_name: str | None
    picture: str | None
    text: str | None
    largest_difference: float | None
    backends: list[BackendRow]


class Facts(TypedDict):
    """Facts about all images."""

    run: str
    command: str
    checkpoint: str
    method: str
    settings: Mapping[str, object]
    backends: Sequence[str]
    num_views: int
    largest_difference: float | None


def describe_image(found: Explanation | Unreadable, method: Method, picture: str) -> ImageRow:
    """Return all that is known of an image, as JSON values.

    Args:
        found: The explanation.
        method: The method that made it.
        picture: Name of its PNG file.
    """
    if isinstance(found, Unreadable):
        return {
            "file": str(found.name),
            "problem": found.problem,
            "class_name": None,
            "picture": None,
            "text": None,
            "largest_difference": None,
            "backends": [],
        }
    rows: list[BackendRow] = [
        {
            "backend": name,
            "label": answer.label,
            "probability": answer.probability,
            "strongest": name_place(found.maps[name]),
            "is_zero": not found.maps[name].any(),
            "map": found.maps[name].tolist(),
        }
        for name, answer in found.answers.items()
    ]
    return {
        "file": str(found.name),
        "problem": "",
        "class_name": found.class_name,
        "picture": picture,
        "text": describe_picture(found, rows, method),
        "largest_difference": found.largest_difference,
        "backends": rows,
    }


def describe_picture(found: Explanation, rows: Sequence[BackendRow], method: Method) -> str:
    """Return the text that stands for a picture: what it shows, and where maps are strongest."""
    names = " and ".join(row["backend"] for row in rows)
    sentences = [
        f"{plain(str(found.name))} as the network sees it, next to the {TITLES[method.name]} map "
        f"of {names} for the class {plain(found.class_name)}."
    ]
    for row in rows:
        where = describe_strength(row)
        sentences.append(f"{row['backend']}: probability {row['probability']:.4f}, {where}.")
    if found.largest_difference is not None:
        sentences.append(f"The maps differ by at most {found.largest_difference:.1e}.")
    return " ".join(sentences)


def describe_strength(row: BackendRow) -> str:
    """Say where a map is strongest, or that it is not."""
    if row["is_zero"]:
        return "zero everywhere, nothing in this map speaks for the class"
    place = row["strongest"]
    return "equal everywhere" if place == "nowhere" else f"strongest in the {place}"


def find_largest(rows: Sequence[ImageRow]) -> float | None:
    """Return the largest difference between the frameworks over all images, if there is one."""
    found = [row["largest_difference"] for row in rows]
    known = [one for one in found if one is not None]
    return max(known) if known else None


def write_json(facts: Facts, rows: Sequence[ImageRow]) -> bytes:
    """Return the JSON file, with non-finite numbers as null."""
    content = finite({"format": "poc explanations 1", **facts, "images": list(rows)})
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode(errors="replace")


def write_page(facts: Facts, rows: Sequence[ImageRow], notes: Sequence[str]) -> bytes:
    """Return the page, whose pictures are in the same folder; Jinja escapes every value."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["plain"] = plain
    page = environment.get_template(PAGE).render(
        facts=facts,
        title=f"{TITLES[facts['method']]}: why these answers",
        rows=rows,
        notes=notes,
        describe_strength=describe_strength,
    )
    return page.encode(errors="replace")


def explain_method(method: Method, num_views: int) -> list[str]:
    """Return the sentences that a reader of the maps needs."""
    if isinstance(method, GradCam):
        height, width, _ = method.tap_shape
        sentences = [
            f"Grad-CAM weighs the channels of {method.tap} ({height}x{width} pixels) by the mean "
            "gradient of the class's logit, and keeps what speaks for the class. 1 is the "
            "largest value of each map, so two images cannot be compared by their colours.",
            "The map is coarse: each of its pixels stands for a part of the image and its "
            "surroundings.",
        ]
    else:
        sides = method.patches
        sentences = [
            f"A patch of {sides.patch}x{sides.patch} pixels in the mean colour of the image moves "
            f"by {sides.stride} pixels. A pixel's value is the mean drop of the class's "
            "probability over the patches on it; below 0, the probability rose.",
        ]
    if num_views > 1:
        sentences.append(
            f"The run averages {num_views} crops of an image, and so are the probabilities here. "
            "The maps are of the centre crop alone."
        )
    sentences.append(
        "A map shows what the score reacts to. It does not say whether the answer is right."
    )
    return sentences
