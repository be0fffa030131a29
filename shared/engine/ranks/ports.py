"""Free addresses of this machine, at which ranks find each other."""

import socket
from contextlib import ExitStack

# Nobody outside this machine reaches it.
LOCAL_HOST = "127.0.0.1"


def local_addresses(count: int) -> list[str]:
    """Return so many different `127.0.0.1:port` that are free now."""
    with ExitStack() as stack:
        # All are open at once, so that no port comes twice.
        servers = [stack.enter_context(socket.create_server((LOCAL_HOST, 0))) for _ in range(count)]
        return [f"{LOCAL_HOST}:{server.getsockname()[1]}" for server in servers]


def free_address(host: str) -> str:
    """Return `host:port` with a port that is free now, where `host` is a name of this machine."""
    with socket.create_server((host, 0)) as server:
        return f"{host}:{server.getsockname()[1]}"
