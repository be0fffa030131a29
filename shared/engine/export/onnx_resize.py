"""Pillow's resize as a part of an ONNX graph, to the bit: the file takes pictures of any size.

ONNX's own Resize with antialias differs from Pillow's by a grey level in up to one pixel of eight
(docs/export.md). Pillow computes in whole numbers: it rounds each weight to 22 bits, and the result
of each axis to 8. The same numbers are computed here, as products of uint8 matrices.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import PIL

from poc.shared.data.views.geometry import Size
from poc.shared.spec.data import DataSpec, Interpolation

from .onnx_entrance import put_first

# Pillow's filters in ONNX's text form: the weight `w` of a pixel at the distance `d`, in units of
# the filter. `zero`, `one` and `two` are there.
FILTERS: Mapping[Interpolation, str] = MappingProxyType(
    {
        "bilinear": """
            slope = Sub (one, d)
            w = Max (slope, zero)""",
        # Cubic convolution with a = -1/2: (3/2 d - 5/2) d d + 1, and ((5/2 - d/2) d - 4) d + 2.
        "bicubic": """
            p0 = Constant <value = double {1.5}> ()
            p1 = Constant <value = double {2.5}> ()
            p2 = Constant <value = double {0.5}> ()
            p3 = Constant <value = double {4.0}> ()
            a0 = Mul (p0, d)
            a1 = Sub (a0, p1)
            a2 = Mul (a1, d)
            a3 = Mul (a2, d)
            near = Add (a3, one)
            b0 = Mul (p2, d)
            b1 = Sub (p1, b0)
            b2 = Mul (b1, d)
            b3 = Sub (b2, p3)
            b4 = Mul (b3, d)
            far = Add (b4, two)
            is_near = Less (d, one)
            is_far = Less (d, two)
            outer = Where (is_far, far, zero)
            w = Where (is_near, near, outer)""",
        # The product of two sinc functions, 1 in the middle.
        "lanczos": """
            three = Constant <value = double {3.0}> ()
            pi = Constant <value = double {3.141592653589793}> ()
            is_middle = Equal (d, zero)
            is_inside = Less (d, three)
            safe = Where (is_middle, one, d)
            third = Div (safe, three)
            narrow_angle = Mul (safe, pi)
            wide_angle = Mul (third, pi)
            narrow_sine = Sin (narrow_angle)
            wide_sine = Sin (wide_angle)
            narrow = Div (narrow_sine, narrow_angle)
            wide = Div (wide_sine, wide_angle)
            product = Mul (narrow, wide)
            outer = Where (is_inside, product, zero)
            w = Where (is_middle, one, outer)""",
    }
)

# The last axis of (N, C, A, n) uint8 to the length m: (N, C, A, m) uint8. A weight has 22 bits and
# a sign: three digits of base 256, the last one less 128.
AXIS = """
<domain: "poc", opset_import: ["" : 18]>
resize_axis (picture, m) => (resized) {
    zero = Constant <value = double {0.0}> ()
    half = Constant <value = double {0.5}> ()
    one = Constant <value = double {1.0}> ()
    two = Constant <value = double {2.0}> ()
    first = Constant <value = int64 {0}> ()
    step = Constant <value = int64 {1}> ()
    row = Constant <value = int64[1] {0}> ()
    column = Constant <value = int64[1] {1}> ()
    shape = Shape <start = 3> (picture)
    n = Squeeze (shape)
    n_real = Cast <to = 11> (n)
    m_real = Cast <to = 11> (m)
    scale = Div (n_real, m_real)
    stretch = Max (scale, one)
    shrink = Div (one, stretch)
    outputs = Range (first, m, step)
    outputs_real = Cast <to = 11> (outputs)
    outputs_middle = Add (outputs_real, half)
    centres = Mul (outputs_middle, scale)
    inputs = Range (first, n, step)
    inputs_real = Cast <to = 11> (inputs)
    inputs_column = Unsqueeze (inputs_real, column)
    shifted = Sub (inputs_column, centres)
    distance = Add (shifted, half)
    signed = Mul (distance, shrink)
    d = Abs (signed)FILTER
    total = ReduceSum <keepdims = 1> (w, row)
    share = Div (w, total)
    steps = Constant <value = double {4194304.0}> ()
    scaled = Mul (share, steps)
    sign = Sign (scaled)
    rounding = Mul (sign, half)
    rounded = Add (scaled, rounding)
    weight = Cast <to = 7> (rounded)
    base = Constant <value = int64 {256}> ()
    offset = Constant <value = int64 {128}> ()
    low = Mod (weight, base)
    above_low = Sub (weight, low)
    rest = Div (above_low, base)
    middle = Mod (rest, base)
    above_middle = Sub (rest, middle)
    high = Div (above_middle, base)
    high_moved = Add (high, offset)
    digit0 = Cast <to = 2> (low)
    digit1 = Cast <to = 2> (middle)
    digit2 = Cast <to = 2> (high_moved)
    no_offset = Constant <value = uint8 {0}> ()
    digit2_offset = Constant <value = uint8 {128}> ()
    sum0 = MatMulInteger (picture, digit0, no_offset, no_offset)
    sum1 = MatMulInteger (picture, digit1, no_offset, no_offset)
    sum2 = MatMulInteger (picture, digit2, no_offset, digit2_offset)
    long0 = Cast <to = 7> (sum0)
    long1 = Cast <to = 7> (sum1)
    long2 = Cast <to = 7> (sum2)
    times2 = Mul (long2, base)
    upper = Add (times2, long1)
    times1 = Mul (upper, base)
    sum = Add (times1, long0)
    half_step = Constant <value = int64 {2097152}> ()
    whole_step = Constant <value = int64 {4194304}> ()
    white = Constant <value = int64 {255}> ()
    moved = Add (sum, half_step)
    not_below = Max (moved, first)
    level = Div (not_below, whole_step)
    not_above = Min (level, white)
    resized = Cast <to = 2> (not_above)
}"""

# (N, H, W, C) uint8 to (N, h, w, C) uint8. A picture of that size passes.
BOTH_AXES = """
<domain: "poc", opset_import: ["" : 18, "poc" : 1]>
resize_picture (picture, h, w) => (resized) {
    height_shape = Shape <start = 1, end = 2> (picture)
    width_shape = Shape <start = 2, end = 3> (picture)
    height = Squeeze (height_shape)
    width = Squeeze (width_shape)
    is_height = Equal (height, h)
    is_width = Equal (width, w)
    is_ready = And (is_height, is_width)
    less_height = Sub (height, h)
    less_width = Sub (width, w)
    first = Constant <value = int64 {0}> ()
    twice = Add (less_width, less_width)
    is_less = Greater (less_height, first)
    is_much_less = Greater (less_height, twice)
    may_turn = Constant <value = bool {TURNS}> ()
    is_tall = And (is_less, is_much_less)
    is_height_first = And (is_tall, may_turn)
    resized = If (is_ready) <
        then_branch = ready () => (same) { same = Identity (picture) },
        else_branch = other () => (either) {
            either = If (is_height_first) <
                then_branch = columns_first () => (by_columns) {
                    c0 = Transpose <perm = [0, 3, 2, 1]> (picture)
                    c1 = poc.resize_axis (c0, h)
                    c2 = Transpose <perm = [0, 1, 3, 2]> (c1)
                    c3 = poc.resize_axis (c2, w)
                    by_columns = Transpose <perm = [0, 2, 3, 1]> (c3)
                },
                else_branch = rows_first () => (by_rows) {
                    r0 = Transpose <perm = [0, 3, 1, 2]> (picture)
                    r1 = poc.resize_axis (r0, w)
                    r2 = Transpose <perm = [0, 1, 3, 2]> (r1)
                    r3 = poc.resize_axis (r2, h)
                    by_rows = Transpose <perm = [0, 3, 2, 1]> (r3)
                }
            >
        }
    >
}"""

# The resize rules, from `images` (N, any, any, C) uint8 to `view` (N, H, W, C) uint8.
RULES: Mapping[str, str] = MappingProxyType(
    {
        "squash": """
<opset_import: ["" : 18, "poc" : 1], domain: "poc">
show_picture (images) => (view) {
    h = Constant <value = int64 {HEIGHT}> ()
    w = Constant <value = int64 {WIDTH}> ()
    view = poc.resize_picture (images, h, w)
}""",
        # As `resized_size` and `centre_box` have it, in whole numbers.
        "fit": """
<opset_import: ["" : 18, "poc" : 1], domain: "poc">
show_picture (images) => (view) {
    h = Constant <value = int64 {HEIGHT}> ()
    w = Constant <value = int64 {WIDTH}> ()
    least = Constant <value = int64 {1}> ()
    none = Constant <value = int64[1] {0}> ()
    half = Constant <value = double {0.5}> ()
    fill = Constant <value = uint8 {FILL}> ()
    height_shape = Shape <start = 1, end = 2> (images)
    width_shape = Shape <start = 2, end = 3> (images)
    height = Squeeze (height_shape)
    width = Squeeze (width_shape)
    tall = Mul (height, w)
    broad = Mul (width, h)
    is_tall = GreaterOrEqual (tall, broad)
    width_share = Div (broad, height)
    height_share = Div (tall, width)
    narrow = Max (width_share, least)
    flat = Max (height_share, least)
    inner_w = Where (is_tall, narrow, w)
    inner_h = Where (is_tall, h, flat)
    inner = poc.resize_picture (images, inner_h, inner_w)
    inner_shape = Shape <start = 1, end = 3> (inner)
    size = Constant <value = int64[2] {HEIGHT, WIDTH}> ()
    margins = Sub (size, inner_shape)
    margins_real = Cast <to = 11> (margins)
    halves = Mul (margins_real, half)
    halves_even = Round (halves)
    before = Cast <to = 7> (halves_even)
    after = Sub (margins, before)
    pads = Concat <axis = 0> (none, before, none, none, after, none)
    view = Pad (inner, pads, fill)
}""",
    }
)
# Since this version, Pillow resizes the height first where that is much less work.
TURNING_VERSION = 13


def refusal_of(spec: DataSpec) -> str:
    """Return why no file can take pictures for these settings of the data, or an empty text."""
    view = spec.eval_view
    if view.crop != "none":
        return f"the evaluation view has crops (eval_view.crop={view.crop})"
    if view.resize not in RULES:
        return f"the evaluation view resizes by {view.resize}"
    if spec.interpolation not in FILTERS:
        return f"images are resized by {spec.interpolation}"
    return ""


def add_resize(path: Path, size: Size, spec: DataSpec) -> None:
    """Let an ONNX file take pictures of any height and width, one size for each batch.

    Args:
        path: File that takes `images` (N, H, W, C) uint8 of the network's size; it is replaced.
        size: (height, width) of the network.
        spec: Gives the resize rule, the filter and the fill; `refusal_of` it is empty.
    """
    # Imported here, since `poc[export]` is an optional extra.
    import onnx

    model = onnx.load(path)
    turns = int(int(PIL.__version__.partition(".")[0]) >= TURNING_VERSION)
    axis = AXIS.replace("FILTER", FILTERS[spec.interpolation])
    both = BOTH_AXES.replace("TURNS", str(turns))
    rule = RULES[spec.eval_view.resize].replace("FILL", str(spec.fill))
    rule = rule.replace("HEIGHT", str(size[0])).replace("WIDTH", str(size[1]))
    model.functions.extend(map(onnx.parser.parse_function, (axis, both)))
    put_first(model, rule, "view")
    shape = model.graph.input[0].type.tensor_type.shape
    for place, name in ((1, "height"), (2, "width")):
        shape.dim[place].dim_param = name
    onnx.checker.check_model(model)
    onnx.save(model, path)
