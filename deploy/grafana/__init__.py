"""Dashboards for Grafana and alert rules for Prometheus, made from Penstock's own metrics."""
