"""How ``node-ctl probe`` prints the machine."""
