"""How many programs are tried: always the same few, or many new ones with `make properties`."""

import os

from hypothesis import HealthCheck, settings

CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile("short", max_examples=100, deadline=None, derandomize=True, suppress_health_check=CHECKS)
settings.register_profile("long", max_examples=5000, deadline=None, print_blob=True, suppress_health_check=CHECKS)
settings.load_profile(os.environ.get("RIATA_PROPERTIES", "short"))
