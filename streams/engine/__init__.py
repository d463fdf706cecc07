"""The engine: log records of one partition in, findings out; pure but for the objects it owns.

``Engine`` steps, ``snapshot`` turns its state into bytes and back, ``store`` keeps them under epochs.
Nothing here knows Faust, a socket or a clock.
"""
