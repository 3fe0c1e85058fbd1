"""The progress display while a suite runs.

Read in this order: `running_count` (average length so far), `progress_table`, `progress`, `action_alarm`.

The command line may import `progress` and `action_alarm`; nothing else needs this room.
"""
