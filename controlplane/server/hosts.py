"""The names that a server without API keys answers to.

Any website can let its own name resolve to this server's address (DNS rebinding), so that its page
in a browser may read the server's responses. Such a request has the website's name in its header
`Host`.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address

_MAX_KNOWN = 1000


class Hosts:
    """The names that are answered: those of loopback, the server's address, and `names`.

    Args:
        names: more names, without a port.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = {"localhost", *(name.lower().rstrip(".") for name in names)}
        # Parsing an address costs as much as parsing the rest of a head, so results are kept.
        self._known: set[tuple[bytes, str]] = set()

    def serve(self, header: bytes, address: str) -> bool:
        """Return whether a request is answered.

        Args:
            header: the value of its `Host`: a name or an address, perhaps with a port.
            address: the server's address, as the connection reached it.
        """
        if (header, address) in self._known:
            return True
        name = _name(header.decode("latin-1"))
        is_ours = name in self._names or _is_address_of(name, address)
        if is_ours and len(self._known) < _MAX_KNOWN:
            self._known.add((header, address))
        return is_ours


def _name(header: str) -> str:
    """Return the name or address in a header, without its port."""
    text = header.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].rstrip(".")


def _is_address_of(name: str, server: str) -> bool:
    """Return whether a name is an address of loopback, or the server's own address."""
    try:
        address = ip_address(name)
        return address.is_loopback or address == ip_address(server)
    except ValueError:
        return False
