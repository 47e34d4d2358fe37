"""Foreword on one machine: an embedded PostgreSQL, the three services, and the sample firm."""
