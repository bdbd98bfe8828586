"""Whether triplets are worth training on: flaws, faults, measures, and a verdict."""
