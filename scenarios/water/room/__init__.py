"""The pump room itself: pressure, tank, flood, access, ultraviolet lamp, pumps. A rule a file."""
