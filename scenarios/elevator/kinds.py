"""What a lift can be found to be in, and which channels of a kit it takes (domain reference, elevator §8)."""

from zhiwei.contracts import Kind

_STOPPED_OUTSIDE = ("moving", "in_door_zone")

KINDS = (
    Kind(
        "elevator.entrapment",
        (("moving", "in_door_zone", "door_closed", "person"), ("alarm_button",)),
        "mode: no suppression in inspection; calls or alarm_button: in the zone only suspected",
    ),
    Kind("elevator.alarm_button", (("alarm_button",),)),
    Kind("elevator.stopped_outside_zone", (_STOPPED_OUTSIDE,)),
    Kind("elevator.door_open_moving", (("moving", "door_closed"), ("moving", "door_state"))),
    Kind("elevator.door_cycling", (("door_state",), ("door_closed",))),
    Kind("elevator.door_blocked", (("in_door_zone", "door_closed"),)),
    Kind("elevator.overrun", (("up_limit",), ("codes",))),
    Kind("elevator.hit_bottom", (("down_limit",), ("codes",))),
    Kind("elevator.overspeed", (("speed",),), "the entity's rated speed"),
    Kind("elevator.unintended_movement", (("codes",), ("moving", "door_closed", "in_door_zone"))),
    Kind("elevator.not_level", (("level_offset",),)),
    Kind("elevator.run_timeout", (("moving",),)),
    Kind("elevator.ebike", (("ebike",),)),
    Kind("elevator.power_loss", (("power",),)),
    Kind("elevator.offline", ((),)),
    Kind("elevator.sensor_fault", (("person",), ("in_door_zone",))),
    Kind("elevator.vendor_claim", (("codes",),)),
)
