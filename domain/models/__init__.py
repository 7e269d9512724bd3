"""What a file of weights is: its shape, tensors and kind, and where it was found."""
