"""What all parts ask of the operating system: files that are written whole, and redirected file descriptors.

Read `atomic_write` and `redirection` in any order. Any room may import both. This room imports no other.
"""
