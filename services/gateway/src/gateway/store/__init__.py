"""What the gateway keeps in PostgreSQL: keys and the project's secret, in the schema `gateway`."""
