"""Networks with shortcuts: ResNet, ResNeXt, and those of CIFAR."""
