"""Going on with a cut answer of a language model: what was answered, how the rest is asked for, and
how it is made the same stream."""
