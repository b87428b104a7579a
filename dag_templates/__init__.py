"""All text that reaches a customer, as templates: `sql/` and `airflow/`.

Templates make text, they never act.
"""
