"""Times the training step on this machine, engines in turn, so that noise hits all alike.

Weights are random and texts are the built-in world's: a step's time depends on neither, only on the
tower's size and the texts' lengths.
"""
