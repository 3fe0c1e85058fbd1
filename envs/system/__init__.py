"""What all parts need of the operating system: files that are written as a whole, and redirected file descriptors.

Read `atomic_write` and `redirection` in any order. Any room may import both. This room imports no other.
"""
