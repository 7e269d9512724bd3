"""GPUs and NPUs: a folder or module per vendor, and what the PCI bus says of all of them."""
