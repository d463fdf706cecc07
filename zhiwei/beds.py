"""The two beds, told apart by settings alone: which log holds the records.

Embedded: files in the data directory. Distributed: Apache Kafka. Databases are chosen in ``zhiwei/sql.py``.
"""

from zhiwei.clock import Clock
from zhiwei.commitlog import CommitLog, file_of
from zhiwei.contracts import TopicLog
from zhiwei.errors import ZhiweiError
from zhiwei.lanes import Lane, log_topic
from zhiwei.settings import Settings


def is_distributed(settings: Settings) -> bool:
    """Whether records are kept by Kafka."""
    return bool(settings.kafka.servers)


def open_log(
    settings: Settings,
    name: str,
    clock: Clock | None = None,
    *,
    writer: bool = False,
    gather_s: float = 0.0,
) -> TopicLog:
    """The log that holds ``readings`` or ``findings``; the caller closes it.

    A reader of the embedded log waits for its file. gather_s: how long Kafka may gather records for a
    reader in no hurry. Raises ZhiweiError.
    """
    if is_distributed(settings):
        from zhiwei.kafka import KafkaLog  # nobody who needs no Kafka loads its client

        hours = log_hours(settings)
        keep_hours = settings.log.keep_hours
        return KafkaLog(settings.kafka, keep_hours=keep_hours, keep_topics=hours, gather_s=gather_s)
    reserve_bytes = settings.log.reserve_bytes if writer else 0
    return CommitLog(settings.data / "log", name, writer=writer, clock=clock, reserve_bytes=reserve_bytes)


def log_hours(settings: Settings) -> dict[str, float]:
    """Topic → how long its records are kept, of the scenarios for which the settings say so."""
    return {
        log_topic(lane, scenario): said.log_hours
        for scenario, said in settings.retention.items()
        if said.log_hours
        for lane in Lane
    }


def has_log(settings: Settings, name: str) -> bool:
    """Whether there is a log to look into; on Kafka topics say for themselves whether they exist."""
    return is_distributed(settings) or (settings.data / "log" / f"{name}.log").exists()


def open_log_of(settings: Settings, topic: str) -> TopicLog:
    """The log that holds this topic, for those who only look. Raises ZhiweiError where there is none yet."""
    name = file_of(topic)
    if not has_log(settings, name):
        raise ZhiweiError(f"{settings.data} has no log yet; --data-dir names another place")
    return open_log(settings, name)
