"""City parking service (城市停车服务), as a plug-in: a bay that is taken where none may stand."""

from zhiwei_parking.scenario import SCENARIO

__all__ = ["SCENARIO"]
