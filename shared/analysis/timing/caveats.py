"""Sentences of a timing report: how its numbers were taken, and where they are not fair."""

METHOD = (
    "Parity came first: timing started only after both backends computed the same logits, "
    "gradients and training steps on the run's own batches.",
    "Every process imports one framework. Sides take turns, A B, B A and so on; with three or "
    "more, each follows each other side equally often. A step is forward, backward and update; the "
    "device is drained before the clock is read.",
    "A median is the median of the processes' medians; quartiles and percentiles are over all "
    "samples. No sample is left out as an outlier, and no best value is taken.",
    "A ratio is the geometric mean over rounds of the ratio of the sides' medians; its 95 % "
    "interval is Student's t of the log ratios of the rounds, or what a note above states. An "
    "interval that contains 1 shows no difference.",
    "`bare step` is the same update on tensors that are on the device already, so its difference "
    "from `step` is the cost of the training loop. FLOP/s counts 6 operations per multiply-add of "
    "the trained model's forward pass, and does not count a frozen model. Utilisation is FLOP/s "
    "over those of a measured product of square matrices, 1024 wide (8192 on a GPU).",
)
UNFAIR = (
    "Both sides get initial weights, batch order and noise from outside, and use PyTorch's "
    "published optimiser formulas; a user of the bare framework would see other times.",
    "PyTorch reads the NHWC batch as a channels-last view; TensorFlow's layout is NHWC.",
    "On a CPU PyTorch's process keeps the C library's heap between steps, and its batch norm lays "
    "pixels side by side if channels do not fill vector registers; other loops do neither.",
    "TF32 is off in both. Operations are deterministic if the run asks for it (the default); "
    "under XLA TensorFlow refuses that switch.",
    "Compiled sides pay for their compilation in the first step, which is a separate row.",
    "If a padding rule of one framework is rebuilt in the other, the rebuilt side pays for it.",
)
