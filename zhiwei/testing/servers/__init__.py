"""Real servers for tests and benchmarks: each a process of ours on loopback, its data in one folder.

``make servers`` installs them. A server dies with the process that started it, and may be killed, paused and
started again on the same port and data.
"""
