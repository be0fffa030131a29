"""Sources of small images that are all different."""

import numpy as np

from poc.shared.data.sources.arrays import ArraySource


def make_source(parts, is_partitioned=True, class_names=None):
    """Images of one pixel row each, all different; `parts`: name -> labels."""
    count = sum(len(labels) for labels in parts.values())
    pixels = np.arange(count, dtype=np.uint32).view(np.uint8).reshape(count, 1, 4)
    arrays, start = {}, 0
    for name, labels in parts.items():
        arrays[name] = (pixels[start : start + len(labels)], np.asarray(labels))
        start += len(labels)
    return ArraySource("made", arrays, is_partitioned=is_partitioned, class_names=class_names)


def copy_image(source, origin, copy):
    source._pixels[copy] = source._pixels[origin]
    return source
