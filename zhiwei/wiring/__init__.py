"""Puts the folders together: replay, the roles of the embedded bed, the supervisor, explanations.

May import everything; is imported by ``zhiwei.cli`` and tests only.
"""
