"""Prints torchvision's ten crops of drawn images as JSON, in a process without TensorFlow."""

import json

from PIL import Image
from torchvision.transforms.functional import ten_crop  # noqa: TID253

from poc.tests.backends.test_crops import CROP, WIDTHS, draw_image

found = {
    width: [list(crop.tobytes()) for crop in ten_crop(Image.fromarray(draw_image(width)), CROP)]
    for width in WIDTHS
}
print(json.dumps(found))
