"""The checks of the doctor: a table each, from the facts of machines to findings."""
