"""Is a data set whole, and what is in it? A verdict in words before days of training depend on it.

Read in this order: `files` (what is there), `frames`, `contents`, `contact_sheet`, `verdict`; `pictures` holds
a data set's pictures against ours.
"""
