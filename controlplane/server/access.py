"""Decides which requests are answered: by API key or host name, and by feature service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controlplane.server.hosts import Hosts
from controlplane.server.keys import Key, Keyring
from controlplane.server.refused import RETRY, STORE_UNREACHABLE, Refused
from controlplane.server.services import Served, Services
from controlplane.server.shapes import Call


class Access:
    """Access to the feature services.

    Args:
        services: the feature services that are served.
        keyring: the API keys; None: requests need no key, but must know the server's name.
        hosts: the server's names.
    """

    def __init__(self, services: Services, keyring: Keyring | None, hosts: Hosts) -> None:
        self._services, self._hosts = services, hosts
        self.keyring = keyring

    def key(self, scope: Mapping[str, Any]) -> Key | None:
        """Return the API key of a request; None if requests need no key.

        Raises:
            Refused: there is no valid key, or the request is for another host.
        """
        if self.keyring is None:
            self._check_host(scope)
            return None
        for header, value in scope["headers"]:
            if header == b"authorization" and (key := self.keyring.find(value)) is not None:
                return key
        hint = "send a key in the header `Authorization: Bearer ...`"
        challenge = ((b"www-authenticate", b"Bearer"),)
        raise Refused(401, "the request has no valid API key", hint=hint, headers=challenge)

    def service(self, name: str, key: Key | None) -> Served:
        """Return the feature service of a name.

        Raises:
            Refused: there is no such feature service, or the key may not read it.
        """
        self._check_loaded()
        served = self._services.served.get(name)
        if key is not None and not key.allows(name):
            hint = "use a key that may read it"
            raise Refused(403, "this API key may not read this feature service", hint=hint)
        if served is None:
            known = [service.name for service in self.readable(key)]
            hint = f"choose from: {', '.join(known)}" if known else ""
            raise Refused(404, "no such feature service is online", hint=hint)
        return served

    def service_with(self, call: Call, key: Key | None) -> Served:
        """Return a feature service that has all features of a call.

        Of several, it is the one that asks for the fewest keys that the call lacks, and then the
        smallest.

        Raises:
            Refused: no feature service that the key may read has all of them.
        """
        features = set(call.features)
        complete = [service for service in self.readable(key) if service.types.keys() >= features]
        if not complete:
            hint = "request a feature service, or declare one with these features"
            text = "no feature service that is online has all of these features"
            raise Refused(404, text, field="features", hint=hint)
        sent = call.entities[0].keys() if call.entities else ()
        return min(
            complete,
            key=lambda service: (len(service.inputs.keys.keys() - sent), len(service.types)),
        )

    def readable(self, key: Key | None) -> list[Served]:
        """Return the feature services that a key may read.

        Raises:
            Refused: they are not loaded yet.
        """
        self._check_loaded()
        services = self._services.served.values()
        return [service for service in services if key is None or key.allows(service.name)]

    def _check_loaded(self) -> None:
        if not self._services.current:
            raise Refused(503, STORE_UNREACHABLE, hint="retry in a second", headers=RETRY)

    def _check_host(self, scope: Mapping[str, Any]) -> None:
        # A request without the header is answered: no browser sends one.
        server = scope.get("server")
        address = server[0] if server else ""
        for header, value in scope["headers"]:
            if header == b"host" and not self._hosts.serve(value, address):
                text = "the name in the header `Host` is not allowed"
                hint = (
                    "use the server's address, start it with --allow-host NAME, or let it require"
                    " API keys (--keys)"
                )
                raise Refused(421, text, hint=hint)
