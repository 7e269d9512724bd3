"""HTTP over the control socket: routes parse, call a use case, render."""
