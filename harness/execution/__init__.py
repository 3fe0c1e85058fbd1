"""Runs many chains at once: in processes, in batches, on a Ray cluster.

Read in this order: `executors` and `world_process` (several processes), `world_batch` and `batched_execution` (one
policy answers several worlds), `ray_cluster` and `ray_execution`. `rollout.attempts` decides which chains are tried
again.

Other rooms may import `executors`, `batched_execution`, `ray_cluster` and `ray_execution`.
"""
