"""Which names a server answers to where it asks for no API keys.

A page of any website may have a browser resolve the page's own name to this server's address (DNS
rebinding), and then read what the server answers. Such a request has that name in its header
`Host`.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

_MAX_KNOWN = 1000


class Hosts:
    """The names that are answered: loopback's, the address that was connected to, and some more.

    Args:
        names: the others, without a port.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = {"localhost", *(name.lower().rstrip(".") for name in names)}
        # to read an address costs as much as the rest of a head
        self._known: set[tuple[bytes, str]] = set()

    def serve(self, header: bytes, address: str) -> bool:
        """Whether a request is answered.

        Args:
            header: the value of its `Host`: a name or an address, perhaps with a port.
            address: of the server, as this connection reached it.
        """
        if (header, address) in self._known:
            return True
        name = _name(header.decode("latin-1"))
        found = name in self._names or _is(name, address)
        if found and len(self._known) < _MAX_KNOWN:
            self._known.add((header, address))
        return found


def _name(header: str) -> str:
    """The name without its port."""
    text = header.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].rstrip(".")


def _is(name: str, address: str) -> bool:
    """Whether the name is an address of loopback, or the server's own."""
    try:
        found = ip_address(name)
        return found.is_loopback or found == ip_address(address)
    except ValueError:
        return False
