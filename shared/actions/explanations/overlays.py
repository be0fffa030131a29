"""One picture per explanation: the image, the map of each framework over it, and a colour bar.

The colour map is cividis, which readers with any kind of colour vision see as a rise of brightness
and which keeps its order in grey. It lies over the image in grey, so that no colour of the image
can be taken for one of the map.
"""

import io
from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from numpy.typing import NDArray

from poc.shared.analysis.figures.drawing import drawing, shorten
from poc.shared.data.sources.base import Pixels
from poc.shared.shown_names import plain

from .explain import Answer, Explanation
from .methods import Method

COLOURS = "cividis"
# Share of the map's colour in a pixel; the rest is the image in greys between these two, since
# white and black would hide the colour.
OPACITY, DARKEST, LIGHTEST = 0.6, 0.2, 0.75
# Inches: a panel, the colour bar with its text, the lines above; the largest height of a panel.
PANEL, BAR, HEAD, TALLEST = 2.1, 0.85, 0.8, 4.0
DOTS_PER_INCH = 120
LUMINANCE = np.array([0.299, 0.587, 0.114])
# Letters of a line over all panels.
LONG = 66


def draw_overlay(explanation: Explanation, method: Method) -> bytes:
    """Return a PNG of the image and of the map of each framework, with its text."""
    shown = {name: method.show(one) for name, one in explanation.maps.items()}
    scale = scale_of(explanation.maps, method)
    height, width, _ = explanation.image.shape
    panel_height = min(PANEL * height / width, TALLEST)
    size = (PANEL * (1 + len(shown)) + BAR, panel_height + HEAD)
    with drawing(*size) as figure:
        class_name = shorten(explanation.class_name, LONG)
        title = f"{shorten_path(str(explanation.name))}\nclass {class_name}"
        figure.suptitle(title, x=0.01, ha="left", fontsize=9)
        panels = figure.subplots(1, 1 + len(shown), squeeze=False)[0]
        draw_image(panels[0], as_colours(explanation.image), "as the network sees it")
        for axes, (backend, values) in zip(panels[1:], shown.items(), strict=True):
            title = describe_answer(backend, explanation.answers[backend])
            draw_image(axes, blend(explanation.image, values, scale), title)
        bar = figure.colorbar(ScalarMappable(scale, COLOURS), ax=panels.tolist(), fraction=0.05)
        bar.set_label(method.unit, fontsize=8)
        bar.ax.tick_params(labelsize=7.5)
        stream = io.BytesIO()
        # No name of the program and no time, so that equal explanations give equal bytes.
        figure.savefig(
            stream,
            format="png",
            dpi=DOTS_PER_INCH,
            facecolor="white",
            metadata={"Software": None},
        )
    return stream.getvalue()


def draw_image(axes: Axes, pixels: NDArray[np.floating], title: str) -> None:
    """Draw an image (H, W, 3) of values from 0 to 1 below its title."""
    axes.imshow(pixels, interpolation="nearest", vmin=0, vmax=1)
    axes.set_title(title, fontsize=8.5, loc="center")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set(visible=True, color="#8a8f98", linewidth=0.6)


def shorten_path(path: str) -> str:
    """Cut the beginning of a long path: its end says more."""
    text = plain(path)
    return text if len(text) <= LONG else f"…{text[1 - LONG :]}"


def describe_answer(backend: str, answer: Answer) -> str:
    """Return a framework's name and its probability of the explained class."""
    return f"{backend}: {answer.probability:.4f}"


def scale_of(maps: Mapping[str, NDArray[np.float64]], method: Method) -> Normalize:
    """Return one scale for the maps (H, W) of all frameworks, which cuts no value off."""
    if method.name == "gradcam":
        return Normalize(0, 1)
    low = min(0.0, *(float(one.min()) for one in maps.values()))
    high = max(0.0, *(float(one.max()) for one in maps.values()))
    return Normalize(low, high if high > low else low + 1)


def blend(image: Pixels, values: NDArray[np.float64], scale: Normalize) -> NDArray[np.floating]:
    """Lay the colours of values (H, W) over an image (H, W, C) in grey: (H, W, 3), 0 to 1."""
    light = (as_colours(image) @ LUMINANCE)[..., np.newaxis]
    grey = DARKEST + (LIGHTEST - DARKEST) * light
    colours = mpl.colormaps[COLOURS](scale(values))[..., :3]
    mixed: NDArray[np.floating] = OPACITY * colours + (1 - OPACITY) * grey
    return mixed


def as_colours(image: Pixels) -> NDArray[np.float64]:
    """Return an image (H, W, C) uint8 of 1 or 3 channels as (H, W, 3), 0 to 1."""
    return np.broadcast_to(image, (*image.shape[:2], 3)) / 255.0
