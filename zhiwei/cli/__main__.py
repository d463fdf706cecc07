"""``python -m zhiwei.cli``: how the supervisor starts its children."""

from zhiwei.cli.main import main

main()
