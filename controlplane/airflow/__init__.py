"""What runs inside a team's Airflow: operators, hooks, the window macro, the release bundle.

Only this room imports airflow.
"""
