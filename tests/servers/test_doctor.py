"""What the doctor says of real servers, and that it leaves nothing behind there."""

from zhiwei.kafka import KafkaLog
from zhiwei.settings import Database, Influx, Mqtt, Settings, Streams
from zhiwei.settings import Kafka as Cluster
from zhiwei.testing.servers.influxdb import ORG, TOKEN, InfluxDB
from zhiwei.testing.servers.kafka import Kafka
from zhiwei.testing.servers.mosquitto import Mosquitto
from zhiwei.testing.servers.postgres import PostgreSQL
from zhiwei.testing.servers.process import free_port
from zhiwei.wiring import doctor_servers as servers


def test_a_mosquitto_lets_us_in(mosquitto: Mosquitto) -> None:
    check = servers.broker(Mqtt(embedded=False, port=mosquitto.port))
    assert (check.verdict, check.found) == ("ok", f"127.0.0.1:{mosquitto.port} lets us in")


def test_a_postgres_lets_us_make_tables(postgres: PostgreSQL) -> None:
    url = postgres.create_database("doctor").replace("+psycopg", "")
    assert servers.postgres(Settings(database=Database(url=url))).verdict == "ok"


def test_a_user_without_the_right_to_make_tables_is_told(postgres: PostgreSQL) -> None:
    url = postgres.create_database("closed").replace("+psycopg", "")
    postgres._ask("CREATE ROLE guest LOGIN")
    check = servers.postgres(Settings(database=Database(url=url.replace("zhiwei@", "guest@"))))
    assert check.verdict == "fail"
    assert "GRANT CREATE" in check.advice


def test_a_kafka_is_compared_with_the_settings(kafka: Kafka) -> None:
    cluster = Cluster(servers=kafka.bootstrap, prefix="doctor.")
    settings = Settings(kafka=cluster, streams=Streams(scenarios=("water",)))
    first = list(servers.kafka(settings))
    assert [check.name for check in first] == ["Kafka", "Kafka topics"]
    assert "still to be made" in first[1].found
    with KafkaLog(cluster) as log:
        assert log.layout().topics == {}
        log.create_topic("findings", 2)
        assert log.layout().topics == {"findings": (1, 1)}
    _, topics = servers.kafka(settings)
    assert topics.verdict == "fail"
    assert topics.advice.startswith("set [log] partitions = 2")
    assert topics.advice.endswith("zhiwei repartition 1")


def test_an_influxdb_has_our_bucket(influxdb: InfluxDB, bucket: str) -> None:
    check = servers.influx(Influx(url=influxdb.url, token=TOKEN, org=ORG, bucket=bucket))
    assert (check.verdict, check.found) == ("ok", f"{influxdb.url} has bucket {bucket}")


def test_a_bucket_that_is_not_there_is_named_with_what_to_do(influxdb: InfluxDB) -> None:
    check = servers.influx(Influx(url=influxdb.url, token=TOKEN, org=ORG, bucket="nowhere/autogen"))
    assert check.verdict == "fail"
    assert "make the bucket 'nowhere/autogen'" in check.advice


def test_an_influxdb_that_is_away_is_to_be_started() -> None:
    check = servers.influx(Influx(url=f"http://127.0.0.1:{free_port()}"))
    assert check.verdict == "fail"
    assert check.advice.startswith("start InfluxDB")
