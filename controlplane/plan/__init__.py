"""What would change and what it would cost: closed unions of frozen dataclasses. Pure: no I/O, no clock."""
