"""Adapters: policies that users bring become a `Policy`.

Read in this order: `user_factory` (an object from an import string), `python_policy`, `calvin_model` and
`calvin_action` (CALVIN's `CustomModel`), `gripper` and `absolute_pose` (what its numbers mean), `remote/` (a policy
server), `relabelled`, `source_digest` (whether its code changed).

Other rooms may import all of it.
"""
