"""`poc.explain`: the parts of images that a run's answers react to, as arrays."""

import os
from collections.abc import Iterator
from dataclasses import fields

from poc.shared.actions.explanations.explain import Explanation, Unreadable, Wish
from poc.shared.actions.explanations.plan import plan_explanations
from poc.shared.actions.new_images.given_images import Given, UnreadableImage, collect_images
from poc.shared.actions.new_images.recommended_run import find_recommended
from poc.shared.engine.console.work_count import noting

from .arguments import read_path
from .predictions import heard
from .python_call import python_call, refuse_unknown


def explain(
    folder: str | os.PathLike[str],
    images: Given,
    *,
    method: str = "gradcam",
    backend: str | None = None,
    verbose: bool = False,
    **options: object,
) -> list[Explanation]:
    """Explain a run's answers for images, in a process of each framework.

    Args:
        folder: Run folder, such as a `RunResult`'s `folder`, or that of a study.
        images: As of `predict`: paths, Pillow pictures, uint8 arrays (H, W, C) or (N, H, W, C).
        method: `gradcam` or `occlusion`.
        backend: Framework to compute in; None: all that are installed.
        verbose: Print progress on standard error.
        options: `class_name` (the class to explain; default: the answered one), `tap` (the map for
            Grad-CAM; default: the last), `patch` and `stride` (pixels, for occlusion) and
            `checkpoint`.

    Returns:
        One explanation per image, in the given order, with `name`, `class_name`, `image` (H, W, C)
        uint8 as the network sees it, `answers` (framework -> `label` and `probability` of the
        class), `maps` (framework -> (h, w); of Grad-CAM 0 to 1 at the size of the tap, of occlusion
        the drop of the probability at each place of the patch) and `largest_difference` between
        the frameworks' maps.

    Raises:
        UsageError: The folder is no trained run, an option is wrong, or an image cannot be read.
        CheckFailed: A map is not finite.

    Warns:
        UserWarning: A folder has files that are no images, or a framework is not installed.
    """
    with python_call(verbose=verbose), heard(verbose=verbose) as report:
        known = {field.name: None for field in fields(Wish)}
        refuse_unknown("poc.explain", options, known)
        wish = Wish(method=method, backend=backend, **options)  # type: ignore[arg-type]
        path = find_recommended(read_path(folder, "folder"))
        plan = plan_explanations(path, wish, noting(report))
        items = collect_images(images, noting(report))
        return list(without_problems(plan.explain(items, report)))


def without_problems(found: Iterator[Explanation | Unreadable]) -> Iterator[Explanation]:
    """Yield the explanations.

    Raises:
        UsageError: An image cannot be read; its file may have changed since it was inspected.
    """
    for one in found:
        if isinstance(one, Unreadable):
            raise UnreadableImage(one.name, one.problem)
        yield one
