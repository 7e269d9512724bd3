"""The live screen of ``node-ctl top``: what is read, and how it is drawn."""
