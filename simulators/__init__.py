"""What stands in for the city: recorded series played over MQTT as a gateway would publish them.

Imports the kernel only, no detector: the truth must not come from those who are judged by it.
"""
