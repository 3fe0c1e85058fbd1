"""The connection to a policy server: it waits for the server to start, has time-outs, and reconnects once."""

import contextlib
import logging
import ssl
import time
from typing import Any

from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI, WebSocketException
from websockets.sync.client import ClientConnection, connect

from calvinbench.policies.adapters.remote.arrays import pack, unpack

_RETRY_SECONDS = 1.0
_CLOSE_SECONDS = 2.0
_REFUSED_STATUSES = (401, 403)
_logger = logging.getLogger(__name__)


class RemotePolicyError(RuntimeError):
    """A server cannot be reached, does not answer in time, or answers with an error."""


class PolicyConnection:
    """One websocket to a server, with one question and its answer at a time."""

    def __init__(self, address: str, timeout_s: float, connect_timeout_s: float, api_key: str | None = None) -> None:
        """Keeps the settings. `open` connects.

        Args:
            address: `ws://host:port`.
            timeout_s: Seconds that an answer may take.
            connect_timeout_s: Seconds that the server may take to start, and to come back after a lost connection.
            api_key: The key, for servers that need one.
        """
        self._address, self._timeout_s, self._connect_timeout_s = address, timeout_s, connect_timeout_s
        self._headers = None if api_key is None else {"Authorization": f"Api-Key {api_key}"}
        self._socket: ClientConnection | None = None
        self._opened = contextlib.ExitStack()  # closes the socket

    def open(self) -> dict[str, Any]:
        """Connects again and returns the server's metadata. It waits for the server to start.

        Raises:
            RemotePolicyError: The server cannot be reached in time, or speaks another protocol.
            MessageError: Its first message is not msgpack.
        """
        self.close()
        deadline = time.monotonic() + self._connect_timeout_s
        while True:
            try:
                line = connect(
                    self._address,
                    compression=None,
                    max_size=None,
                    additional_headers=self._headers,
                    open_timeout=self._timeout_s,
                    close_timeout=_CLOSE_SECONDS,
                )
                self._socket = self._opened.enter_context(line)
                break
            except InvalidURI as error:
                raise RemotePolicyError(f"expected an address ws://host:port, got '{self._address}'.") from error
            except InvalidHandshake as error:
                raise RemotePolicyError(
                    f"expected a policy server at {self._address}, but something else answers there: {error}. "
                    f"{self._handshake_advice(error)}"
                ) from error
            except ssl.SSLCertVerificationError as error:
                raise RemotePolicyError(
                    f"expected a policy server at {self._address} with a trusted certificate, got: {error}. Set "
                    "the environment variable SSL_CERT_FILE to a file with the certificate of its authority."
                ) from error
            except ssl.SSLError as error:
                raise RemotePolicyError(
                    f"expected a policy server at {self._address} that speaks TLS, got: {error}. If it does not, "
                    "remove 'secure=true' from the policy spec."
                ) from error
            except (OSError, TimeoutError) as error:
                if time.monotonic() >= deadline:
                    raise RemotePolicyError(
                        f"expected a policy server at {self._address} within {self._connect_timeout_s:g} s, found "
                        f"none: {error}. Start it, check its host and port, or wait longer for it with "
                        "',connect_timeout=SECONDS' in the policy spec."
                    ) from error
                _logger.info("waiting for the policy server at %s", self._address)
                time.sleep(min(_RETRY_SECONDS, max(0.0, deadline - time.monotonic())))
        metadata = self._receive()
        return metadata if isinstance(metadata, dict) else {}

    def _handshake_advice(self, error: InvalidHandshake) -> str:
        """What to do if the answer is not that of a policy server that accepts the connection."""
        if isinstance(error, InvalidStatus) and error.response.status_code in _REFUSED_STATUSES:
            return (
                "Check the key."
                if self._headers
                else "The server needs a key: put it into an environment "
                "variable and add ',api_key_env=VARIABLE' to the policy spec."
            )
        return "Check host, port and path; if the server speaks TLS, add ',secure=true' to the policy spec."

    def ask(self, question: Any) -> Any:
        """Sends a question and returns the answer. If the connection is lost, it connects once more and asks again.

        Raises:
            RemotePolicyError: The server answers with an error, too late, or not at all.
            MessageError: The answer is not msgpack.
        """
        packed = pack(question)
        for is_last in (False, True):
            try:
                if self._socket is None:
                    self.open()
                return self._exchange(packed)
            except (WebSocketException, OSError) as error:
                self.close()
                if is_last:
                    raise RemotePolicyError(self._closed(error)) from error
                _logger.warning(
                    "the policy server at %s closed the connection (%s); connecting again", self._address, error
                )
        raise AssertionError("unreachable")

    def first_open(self) -> dict[str, Any]:
        """`open`, for the first connection to a server.

        Raises:
            RemotePolicyError: The server cannot be reached in time, speaks another protocol, or closes the connection.
            MessageError: Its first message is not msgpack.
        """
        try:
            return self.open()
        except (WebSocketException, OSError) as error:
            self.close()
            raise RemotePolicyError(self._closed(error)) from error

    def _closed(self, error: Exception) -> str:
        return (
            f"the policy server at {self._address} closed the connection before it answered: {error}. Its own log "
            "says why. After fixing and starting it, run the same command again."
        )

    def _exchange(self, packed: bytes) -> Any:
        if self._socket is not None:
            self._socket.send(packed)
        return self._receive()

    def _receive(self) -> Any:
        if self._socket is None:
            raise RemotePolicyError(f"expected an open connection to {self._address}, found none.")
        try:
            message = self._socket.recv(timeout=self._timeout_s)
        except TimeoutError as error:
            self.close()  # a late answer would be taken for the answer to the next question
            raise RemotePolicyError(
                f"expected an answer of the policy server at {self._address} within {self._timeout_s:g} s, got none. "
                "Wait longer with ',timeout=SECONDS' in the policy spec."
            ) from error
        if isinstance(message, str):
            self.close()
            raise RemotePolicyError(
                f"the policy server at {self._address} raised an error:\n{message.strip()}{_keys_advice(message)}"
            )
        return unpack(message)

    def close(self) -> None:
        """Closes the connection, if there is one."""
        self._socket = None
        with contextlib.suppress(WebSocketException, OSError):
            self._opened.close()


def _keys_advice(message: str) -> str:
    """Advice for a KeyError of the server, which probably looks for an observation under another name."""
    if "KeyError" not in message:
        return ""
    return (
        "\nIf it looks for an observation by another name, choose its names with ',keys=openpi' or ',keys=FILE.json' "
        "in the policy spec."
    )
