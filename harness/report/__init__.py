"""Reports: tables, figures, the page and exported files, made from the analysis.

Read in this order: `table_input`, `best_cells`, `tables/` (the table in all forms), `table_notes`, `latex`,
`comparison_words`, `published_results`, `plots/` (one figure a module), `html/` (the page), `report_contents`, `report`
(all of it, written to a folder), `export`.

Other rooms may import `tables`, `report`, `export`, `published_results` and `plots`.
"""
