/* What a map of Earthfield does by itself: lines of longitude and latitude, and one drawn box at a time. */
window.earthfieldGraticule = function (map) {
  "use strict";
  const STEPS = [30, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005];
  const group = L.layerGroup().addTo(map);

  function stepFor(span) {
    return STEPS.find((step) => span / step >= 4) || STEPS[STEPS.length - 1];
  }

  function named(value, step, positive, negative) {
    const digits = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
    const side = value > 0 ? positive : value < 0 ? negative : "";
    return Math.abs(value).toFixed(digits) + "°" + side;
  }

  function label(latlng, text, className) {
    const icon = L.divIcon({ className: "earthfield-degree " + className, html: text, iconSize: null });
    return L.marker(latlng, { icon: icon, interactive: false, keyboard: false });
  }

  function draw() {
    group.clearLayers();
    const view = map.getBounds();
    const west = Math.max(-180, view.getWest()), east = Math.min(180, view.getEast());
    const south = Math.max(-84, view.getSouth()), north = Math.min(84, view.getNorth());
    const style = { color: "#8fa39b", weight: 0.7, opacity: 0.8, interactive: false };
    const lonStep = stepFor(east - west), latStep = stepFor(north - south);
    for (let i = Math.ceil(west / lonStep); i * lonStep <= east; i++) {
      const lon = i * lonStep;
      group.addLayer(L.polyline([[south, lon], [north, lon]], style));
      group.addLayer(label([south, lon], named(lon, lonStep, "E", "W"), "earthfield-lon"));
    }
    for (let i = Math.ceil(south / latStep); i * latStep <= north; i++) {
      const lat = i * latStep;
      group.addLayer(L.polyline([[lat, west], [lat, east]], style));
      group.addLayer(label([lat, east], named(lat, latStep, "N", "S"), "earthfield-lat"));
    }
  }

  map.on("moveend zoomend resize", draw);
  map.whenReady(draw);
};

window.earthfieldOneBox = function (map) {
  "use strict";
  map.on("draw:drawstart", function () {
    if (window.drawnItems && window.drawnItems.clearLayers) window.drawnItems.clearLayers();
  });
};
