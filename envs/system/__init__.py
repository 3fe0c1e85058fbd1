"""What all parts need of the operating system: files that are written as a whole, redirected output, child processes.

Read `atomic_write`, `redirection` and `child_process` in any order. Any room may import all three. This room imports
no other.
"""
