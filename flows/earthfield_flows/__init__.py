"""Flows: order, retries, concurrency and schedules of the services' jobs, and no logic of their own."""
