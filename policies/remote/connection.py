"""The line to a policy server: it waits for the server to start, has time-outs, and connects again when it is cut."""

import contextlib
import logging
import time
from typing import Any

from websockets.exceptions import InvalidHandshake, InvalidURI, WebSocketException
from websockets.sync.client import ClientConnection, connect

from calvinbench.policies.remote.arrays import pack, unpack

_RETRY_SECONDS = 1.0
_CLOSE_SECONDS = 2.0
_logger = logging.getLogger(__name__)


class RemotePolicyError(RuntimeError):
    """A server that cannot be reached, does not answer in time, or answers with an error."""


class PolicyConnection:
    """One websocket to a server; a question and its answer at a time."""

    def __init__(self, address: str, timeout_s: float, connect_timeout_s: float, api_key: str | None = None) -> None:
        """Nothing is opened yet.

        Args:
            address: `ws://host:port`.
            timeout_s: Seconds that an answer may take.
            connect_timeout_s: Seconds that a server may take to start, and to come back.
            api_key: For servers that want one.
        """
        self._address, self._timeout_s, self._connect_timeout_s = address, timeout_s, connect_timeout_s
        self._headers = None if api_key is None else {"Authorization": f"Api-Key {api_key}"}
        self._socket: ClientConnection | None = None
        self._opened = contextlib.ExitStack()  # what closes it

    def open(self) -> dict[str, Any]:
        """Connects anew and returns the server's metadata, waiting for the server to start.

        Raises:
            RemotePolicyError: There is none in time, or it speaks another protocol.
            MessageError: Its first message is no msgpack.
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
                    f"expected a policy server at {self._address}, but what answers there is none: {error}."
                ) from error
            except (OSError, TimeoutError) as error:
                if time.monotonic() >= deadline:
                    raise RemotePolicyError(
                        f"expected a policy server at {self._address} within {self._connect_timeout_s:g} s, found "
                        f"none: {error}. Start it, or look at its address."
                    ) from error
                _logger.info("waiting for the policy server at %s", self._address)
                time.sleep(min(_RETRY_SECONDS, max(0.0, deadline - time.monotonic())))
        metadata = self._receive()
        return metadata if isinstance(metadata, dict) else {}

    def ask(self, question: Any) -> Any:
        """Sends a question and returns the answer; if the line is cut, connects once more and asks again.

        Raises:
            RemotePolicyError: The server answers with an error, not in time, or not at all.
            MessageError: The answer is no msgpack.
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
                    raise RemotePolicyError(f"the policy server at {self._address} cut the line: {error}.") from error
                _logger.warning("the policy server at %s cut the line (%s); connecting again", self._address, error)
        raise AssertionError("unreachable")

    def _exchange(self, packed: bytes) -> Any:
        if self._socket is not None:
            self._socket.send(packed)
        return self._receive()

    def _receive(self) -> Any:
        if self._socket is None:
            raise RemotePolicyError(f"expected an open line to {self._address}, found none.")
        try:
            message = self._socket.recv(timeout=self._timeout_s)
        except TimeoutError as error:
            self.close()  # an answer that comes later would be taken for that to the next question
            raise RemotePolicyError(
                f"expected an answer of the policy server at {self._address} within {self._timeout_s:g} s, got none. "
                "Give it more with ',timeout=SECONDS' in the spec."
            ) from error
        if isinstance(message, str):
            self.close()
            raise RemotePolicyError(f"the policy server at {self._address} raised an error:\n{message.strip()}")
        return unpack(message)

    def close(self) -> None:
        """Ends the line, if there is one."""
        self._socket = None
        with contextlib.suppress(WebSocketException, OSError):
            self._opened.close()
