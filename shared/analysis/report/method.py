"""Explanation of the numbers, at the end of the HTML page and of the Markdown file."""

METHOD = (
    "A row consists of runs that differ only in the seed. ± is the standard deviation over seeds "
    "(n - 1).",
    "The 95 % interval is that of the method's accuracy: the expected share of right answers over "
    "images like the test images and over seeds, not that of the networks trained here. It covers "
    "the chance in both, images and seeds. How far a seed moves an accuracy is estimated from all "
    "rows together and from earlier studies (about one point). A row of one seed uses the estimate "
    "of the other rows.",
    "Two rows are compared image by image, on the same images, with the same two sources of "
    "chance. A difference can therefore be shown although two intervals overlap. `adjusted` is "
    "Holm's correction for all comparisons of the page, including those with the majority "
    "baseline. With it, the chance that a page calls any method better than an equally good one is "
    "at most 5 %, in simulations with seeds that move an accuracy by up to two points (sd). With "
    "many rows it can leave a difference open although two intervals, each 95 % by itself, do not "
    "meet.",
    "The size is 4 bytes per weight, including running statistics. It is not the size of a "
    "checkpoint file. Times are wall-clock seconds. The time per epoch is the median over epochs "
    "without the first.",
    "Threads are those of one operation. Another number of threads adds up in another order and so "
    "changes the accuracy of one seed. A dash means that the run does not record it.",
    "The majority baseline always answers the most frequent class of the test images.",
    "The confidence of an answer is the probability of its class. The expected calibration error "
    "is the mean distance of accuracy and confidence in 15 bins of equal width, weighted by their "
    "images. Macro F1 is the mean F1 of the classes that have test images or are answered.",
    "Of two classes one is positive: the class of `poc report --positive`, that of a decision of "
    "`poc calibrate`, or the second one. Sensitivity is the share of positive images that are "
    "answered as positive, specificity that of the others that are not; PPV and NPV are the shares "
    "of right answers among positive and among negative ones. Their intervals are Wilson's, over "
    "the test images alone: the chance of a seed is not in them. A threshold and a temperature are "
    "fitted on validation images, never on those of the test.",
)
