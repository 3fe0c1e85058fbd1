"""A policy server as openpi's is, small: metadata first, then an answer to each observation, or text and the end."""

import threading
from contextlib import contextmanager

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

from calvinbench.policies.remote.arrays import pack, unpack


@contextmanager
def served(answer, metadata=None, port=0):
    """Serves `answer(observation, connection)`; gives the address and a list of all observations."""
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

    with serve(handle, "localhost", port, compression=None, max_size=None) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"localhost:{server.socket.getsockname()[1]}", seen
        server.shutdown()
