"""Comparing runs: statistics over seeds, tables, pictures, a page, and what a study tells of its parameters."""
