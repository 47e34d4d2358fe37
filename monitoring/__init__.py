"""What watches Foreword: objectives, alerts and dashboards, from which generate.py writes files."""
