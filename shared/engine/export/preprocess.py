"""The way from a picture to an exported file's answer, as one JSON text that the file carries."""

import json
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from poc.shared.data.sources.base import Shape
from poc.shared.engine.folder.decision import AnswerRule, Rejection, Temperature, Threshold
from poc.shared.errors import UsageError
from poc.shared.spec.data import DataSpec, EvalView, Interpolation, Normalization

FORMAT: Final = "poc preprocess 1"
InputKind = Literal["view", "picture"]
Side = Annotated[int, Field(ge=1, le=4096)]
INPUT_KINDS: tuple[InputKind, ...] = ("view", "picture")


class Rule(BaseModel):
    """The decision of the run, as in its `decision.json`; it applies to the averaged logits."""

    model_config = ConfigDict(frozen=True)
    temperature: Temperature
    threshold: Threshold | None = None
    rejection: Rejection | None = None


class RunFacts(BaseModel):
    """The run that the weights are from."""

    model_config = ConfigDict(frozen=True)
    method: str
    model: str
    backend: str
    seed: int
    date: str


class Preprocess(BaseModel):
    """The content of `preprocess.json`.

    Attributes:
        format: `FORMAT`.
        kind: `view`: the file takes pictures that the evaluation view has resized and cropped;
            `picture`: upright pictures of any size, one size per batch, which it resizes itself. In
            both cases they are (N, height, width, channels) uint8, named `images`.
        size: (height, width) of the view, in pixels.
        target: (height, width) that the resize rule aims at, before a crop.
        channels: 1 for grey, 3 for RGB.
        mode: The same as Pillow's mode, `L` or `RGB`.
        interpolation: Filter of Pillow that resizes, or `plain_bilinear`.
        fill: Grey level around an image that is fitted.
        eval_view: Resize rule, crops, and how the outputs of several crops become one.
        num_views: Images that the network sees of one picture.
        normalization: The run's, which the file computes itself.
        is_normalization_inside: True.
        class_names: Classes in the order of the logits.
        is_multi_label: True if an image has any number of labels: every one above 1/2.
        decision: See `Rule`; None: the most probable class.
        run: See `RunFacts`.
        precision: Number type of the file.
        weights_licence: A sentence.
        pillow: Version of Pillow that resized when the file was checked.
    """

    model_config = ConfigDict(frozen=True)
    format: Literal["poc preprocess 1"] = FORMAT
    kind: InputKind
    size: tuple[Side, Side]
    target: tuple[int, int]
    channels: Literal[1, 3]
    mode: Literal["L", "RGB"]
    interpolation: Interpolation
    fill: int = Field(ge=0, le=255)
    eval_view: EvalView
    num_views: int
    normalization: Normalization
    is_normalization_inside: Literal[True] = True
    class_names: list[str] = Field(min_length=1)
    is_multi_label: bool
    decision: Rule | None
    run: RunFacts
    precision: str
    weights_licence: str
    pillow: str

    @classmethod
    def read(cls, text: str, path: Path) -> Self:
        """Read the text of an exported file.

        Raises:
            UsageError: There is none, or it is malformed.
        """
        again = "Expected a file that `poc export` wrote. Try exporting the run again."
        if not text:
            raise UsageError(f"Got {str(path)!r}, which does not say what it takes. {again}")
        try:
            return cls.model_validate(json.loads(text))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            reason = f"{key}: {first['msg']}"
        except (UsageError, ValueError, RecursionError) as error:
            reason = str(error).splitlines()[0]
        raise UsageError(f"Got {str(path)!r} with malformed metadata ({reason}). {again}")

    def write(self) -> str:
        """Return the text."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"

    @property
    def shape(self) -> Shape:
        """Return (H, W, C) of the view."""
        return (*self.size, self.channels)

    def data_spec(self) -> DataSpec:
        """Return the settings of the data that prepare a picture, without a normalisation."""
        return DataSpec(
            image_size=self.size,
            channels=self.channels,
            interpolation=self.interpolation,
            fill=self.fill,
            eval_view=self.eval_view,
            normalization="none",
        )

    def rule(self) -> AnswerRule | None:
        """Return the decision with the classes that it is for."""
        if self.decision is None:
            return None
        return AnswerRule(class_names=self.class_names, **dict(self.decision))
