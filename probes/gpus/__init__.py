"""GPUs and NPUs of every maker, one folder or file a maker; what the bus says of all of them."""
