"""How much a model of a given size loses by an error in its weights, relative to Llama-3-8B.

Perplexity grows in proportion to the squared relative error of the weights (arXiv:2411.17525), so one factor
turns what a quant loses on the reference into what it loses on another model. docs/planning.md has the
figures and what they miss.
"""

from math import exp

# Set by published losses of 10 models from 1 to 671 billion parameters. Models differ by a factor of two at
# any size. By perplexity a mixture of experts loses half of that, by KL divergence it does not, so it has no
# factor of its own.
PIVOT_PARAMETERS = 8e9
AT_PIVOT = 0.6
ABOVE_EXPONENT = -0.15
# Gemma-3-1B loses 2.3 times what Llama-3-8B does, salamandra-2b 0.9, Qwen3-4B 1.1.
BELOW_EXPONENT = -0.5
MAX_FACTOR = 2.3  # the most that was published


def sensitivity(parameters: float) -> float:
    if parameters <= 0:
        return MAX_FACTOR
    exponent = ABOVE_EXPONENT if parameters >= PIVOT_PARAMETERS else BELOW_EXPONENT
    factor: float = AT_PIVOT * (parameters / PIVOT_PARAMETERS) ** exponent
    return min(MAX_FACTOR, factor)


def loss_percent(reference: float, parameters: float) -> float:
    """Perplexity that is added, in percent of that at full precision. ``reference``: 100 times the natural
    logarithm of the ratio of perplexities on Llama-3-8B, which is what adds up over tensors."""
    return 100 * (exp(reference * sensitivity(parameters) / 100) - 1)
