"""Benchmarks: ours and the way tutorials do it, side by side, from one run. They print and assert nothing.

CPU is read from /proc, so they run on Linux. ``python -m bench --help`` says what there is.
"""
