"""What all parts need of the system: files that are written as a whole, YAML, redirected output, child processes.

Read `atomic_write`, `yaml_text`, `redirection` and `child_process` in any order. Any room may import all four. This
room imports no other.
"""
