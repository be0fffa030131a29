"""Layer declarations: the computation of each layer as plain data.

A declaration knows the shape of its output, its parameters and its multiply-adds. It has no tensor;
`tf_impl.layers` and `torch_impl.layers` have one implementation of each kind. Shapes leave the
batch out: images and maps are (H, W, C), vectors are (C,).
"""
