"""Records the expert's demonstrations as a data set on disk.

Read in this order: `episode` (one episode), `formats` (how it is written), `settings`, `episode_records`,
`data_set_folder`, `recorder`, `plan` (size and space beforehand), `progress`.
"""
