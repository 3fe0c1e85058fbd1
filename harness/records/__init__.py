"""The files of a run, and how they are read and written.

Read in this order: `records` (a line of `chains.jsonl`) and `action_summary`, `description` (the content of
`run.json`), `typed_reading` (checks both field by field), `folders` (safe writing), `stored_chains` (reading chains),
`run_directory` (appending and resuming), `runs` (a whole run in memory), `shards`, `old_runs`, `errored_chains`,
`provenance`, `reference_frame`.

Other rooms may import all of it. This room imports `suite`, `envs` and `policies` only.
"""
