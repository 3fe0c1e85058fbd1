"""The report as one page: `page.py` gathers what is on it, `report.html` is its template."""
