"""What fields say of the ground: places, touching tiles as one raster, every pixel of them."""
