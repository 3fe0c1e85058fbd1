"""A policy in a server: another process, on this machine or another one, with its own packages.

The protocol is that of openpi's client (Physical-Intelligence/openpi, `openpi_client` at its main branch of 2026). Each
message over a websocket is one msgpack object with numpy arrays in it. The server sends its metadata when a client
connects. It answers each observation with a mapping that has `actions`, or with text, which is an error.

Read in this order: `settings`, `keys` (what a server calls its observations), `answer` (its actions, read and checked),
`policy` (the `Policy`), `arrays` and `connection` (the protocol), `factory` (`ws://host:port`).
"""
