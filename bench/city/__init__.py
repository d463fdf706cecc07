"""The distributed bed under a city's load: lifts on real Kafka, Mosquitto, PostgreSQL and InfluxDB."""
