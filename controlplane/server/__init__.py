"""The feature server: online values over HTTP, in our own shape and in those of Tecton and Feast.

A request passes `app` (ASGI), `shapes` (JSON in and out) and one read of `serving`; nothing of it
is kept or logged. The libraries are those of the extra `server`; `plane serve` is the only door.
"""
