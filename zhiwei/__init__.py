"""Kernel of Zhiwei: the types, contracts and edges that every other folder shares.

Nothing in this package imports another folder of ours, except ``wiring`` and ``cli``,
which put the whole together and are imported by nobody but tests.
"""

__version__ = "0.1.0"
