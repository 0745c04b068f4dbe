"""Serves the deployment `map/map`: runs that others ask for through Prefect's API happen here.

Run as `python -m earthfield_flows.deploy`, with PREFECT_API_URL set.
"""

from __future__ import annotations


def main() -> None:
    """Serves until it is ended; one run at a time, because a run takes every core."""
    from prefect import serve
    from prefect.types.entrypoint import EntrypointType

    from earthfield_flows.map import map_flow

    # By its module, not with `map_flow.serve`: that pickles the flow, and a fresh import in each run is cleaner.
    deployment = map_flow.to_deployment(
        name="map",
        description="Scenes of a catalogue to a searchable map.",
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    serve(deployment, limit=1, pause_on_shutdown=False, print_starting_message=False)  # type: ignore[arg-type]


if __name__ == "__main__":  # a run is a child that imports this module, and must not serve again
    main()
