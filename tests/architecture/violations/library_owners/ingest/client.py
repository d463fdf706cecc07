# ruff: noqa
"""Planted: paho has one owner."""

import paho.mqtt.client as mqtt  # wrong
from iotcore import IotCore  # wrong
from confluent_kafka import Consumer  # wrong
