"""The MQTT edge: one connection (``Link``), MQTT 3.1.1 or 5, and a publisher.

There are no threads here: whoever owns a link turns it. A link is never reconnected, so nothing of an old
connection can leak into a new one. Receiving with sessions and acknowledgements is
``zhiwei/mqtt_receiver.py``.
"""

from zhiwei.mqtt.backoff import Backoff
from zhiwei.mqtt.client import reads_in_blocks
from zhiwei.mqtt.link import CONNACK_WITHIN_S, Limits, Link
from zhiwei.mqtt.publisher import Publisher

__all__ = ["CONNACK_WITHIN_S", "Backoff", "Limits", "Link", "Publisher", "reads_in_blocks"]
