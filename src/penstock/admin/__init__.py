"""SHOW. The admin address: health, metrics, status and the calls behind ``penstock ctl``."""
