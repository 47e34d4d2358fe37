"""Looking at the dashboards without Grafana: a Prometheus of our own, load, a contact sheet of the panels."""
