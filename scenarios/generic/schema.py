"""Whatever channels a source names: this scenario knows none beforehand."""

from zhiwei.schema import Schema

SCHEMA = Schema(scenario="generic", version=1, channels=(), open=True)
