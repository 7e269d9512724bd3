"""Speed under vLLM: the work of a token, the shares that GPUs reach, and the roofline of both."""
