"""One check a module: from facts to findings, nothing else."""
