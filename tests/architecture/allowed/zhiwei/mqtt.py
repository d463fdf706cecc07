# ruff: noqa
"""Planted: the owner."""

import paho.mqtt.client as mqtt
import json
