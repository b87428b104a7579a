"""The feature server: online values over HTTP, in its own shape and in those of Tecton and Feast.

A request passes `app` (ASGI), `access` (keys), `shapes` (JSON in and out) and one read of
`serving`; its values are neither kept nor logged. The room needs the libraries of the extra
`server`; its only entry point is `plane serve`.
"""
