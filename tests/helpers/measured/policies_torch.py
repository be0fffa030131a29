"""Prints what torchvision makes of pictures by its automatic augmentations, as JSON.

Digests of the pixels by picture, policy, operation, magnitude and sign; the amounts; the grey level
of what comes from outside is 70.
"""

import hashlib
import json

from torchvision.transforms import InterpolationMode, RandAugment, TrivialAugmentWide  # noqa: TID253
from torchvision.transforms.autoaugment import _apply_op  # noqa: TID253

from poc.shared.data.sources.base import to_picture
from poc.tests.backends.test_policies import FILL, MAGNITUDES, draw_images

found, amounts = {}, {}
for name, image in draw_images().items():
    picture, size = to_picture(image), image.shape[:2]
    spaces = {
        "randaugment": RandAugment()._augmentation_space(31, size),
        "trivialaugment": TrivialAugmentWide()._augmentation_space(31),
    }
    fill = [float(FILL)] * image.shape[-1]
    for policy, space in spaces.items():
        for operation, (values, is_signed) in space.items():
            steps = range(31) if values.ndim else [0]
            listed = values.tolist() if values.ndim else [0.0]
            amounts[f"{name} {policy} {operation}"] = listed
            for step in set(steps) & set(MAGNITUDES):
                for sign in (1, -1) if is_signed else (1,):
                    changed = _apply_op(
                        picture, operation, sign * listed[step], InterpolationMode.NEAREST, fill
                    )
                    key = f"{name} {policy} {operation} {step} {sign}"
                    found[key] = hashlib.sha256(changed.tobytes()).hexdigest()
print(json.dumps({"pixels": found, "amounts": amounts}))
