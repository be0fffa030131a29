"""Networks as plain data: nodes, layers, architectures, and changes of them."""
