"""The pages: choose an area, run the job, look at the map, ask what is alike. Knows the services by HTTP alone."""
