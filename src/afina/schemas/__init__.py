"""Objects that cross a process or a wire: one shape for the wire and for the record."""
