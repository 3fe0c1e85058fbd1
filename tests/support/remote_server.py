"""A policy server as openpi's is, small: metadata first, then an answer to each observation, or text and the end."""

import threading
from contextlib import contextmanager
from http import HTTPStatus

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

from calvinbench.policies.adapters.remote.arrays import pack, unpack


@contextmanager
def served(answer, metadata=None, port=0, key=None, tls=None):
    """Serves `answer(observation, connection)` to those who have `key`; gives the address and all observations."""
    seen = []

    def handle(connection):
        connection.send(pack(metadata or {}))
        try:
            while True:
                seen.append(unpack(connection.recv()))
                reply = answer(seen[-1], connection)
                if reply is not None:
                    connection.send(reply)
        except ConnectionClosed:
            pass

    def look_at_key(connection, request):
        if key is not None and request.headers.get("Authorization") != f"Api-Key {key}":
            return connection.respond(HTTPStatus.UNAUTHORIZED, "no such key\n")
        return None

    settings = {"process_request": look_at_key, "compression": None, "max_size": None, "ssl": tls}
    with serve(handle, "localhost", port, **settings) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"localhost:{server.socket.getsockname()[1]}", seen
        server.shutdown()
