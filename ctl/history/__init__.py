"""``node-ctl history``: charts of what was recorded, for terminals of any width and for pipes."""
