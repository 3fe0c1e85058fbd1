"""Policies that another process serves, on this machine or elsewhere, pinned to whatever versions it likes.

The protocol is that of openpi's client (Physical-Intelligence/openpi, `openpi_client` at its main branch of 2026): a
websocket over which each message is one msgpack object with numpy arrays in it. On connecting the server sends its
metadata; then each observation that it gets is answered by a mapping with `actions`, or by text, which is an error.
"""
