"""The report as one page, which needs no server and no network.

Read in this order: `sortable_tables`, `pictures` (figures inside the page), `file_links`, `run_facts`, `chain_list`,
and `page`, which fills the templates: `report.html`, and `overview.html` above several conditions.
"""
