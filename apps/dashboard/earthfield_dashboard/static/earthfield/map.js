/* What a map of Earthfield does by itself: lines of longitude and latitude, one drawn shape at a time, two maps side by
   side under a line, streets where they can be reached, ranks of places that were found. */
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
  let isDrawing = false;
  map.on("draw:drawstart", function (event) {
    if (window.drawnItems && window.drawnItems.clearLayers) window.drawnItems.clearLayers();
    isDrawing = event.layerType !== "marker";
  });
  // The click that ends a shape comes after its end.
  map.on("draw:drawstop", function () { setTimeout(function () { isDrawing = false; }, 300); });
  // The corners of a shape are no clicks on the map: nobody who listens for those hears of them.
  const fire = map.fire;
  map.fire = function (type) {
    return type === "click" && isDrawing ? map : fire.apply(map, arguments);
  };
};

/* Two maps in one: layers whose pane is a side are cut at a line that can be moved with the mouse, a finger or the arrow
   keys. Nothing shows while no layer lies on a side. */
window.earthfieldSwipe = function (map) {
  "use strict";
  const SIDES = ["left", "right"];
  const on = { left: new Set(), right: new Set() };
  SIDES.forEach(function (side) {
    map.createPane("earthfield-" + side).style.zIndex = side === "left" ? 210 : 220;
  });
  const box = L.DomUtil.create("div", "earthfield-swipe", map.getContainer());
  box.hidden = true;
  const line = L.DomUtil.create("div", "earthfield-swipe-line", box);
  const names = {};
  SIDES.forEach(function (side) {
    names[side] = L.DomUtil.create("div", "earthfield-swipe-name earthfield-swipe-" + side, box);
  });
  const range = L.DomUtil.create("input", "earthfield-swipe-range", box);
  Object.assign(range, { type: "range", min: 0, max: 100, step: 1, value: 50 });
  range.setAttribute("aria-label", "Move the line between the two maps");
  L.DomEvent.disableClickPropagation(range);
  L.DomEvent.on(range, "keydown", L.DomEvent.stopPropagation);
  L.DomEvent.on(range, "pointerdown", function () { map.dragging.disable(); });
  L.DomEvent.on(window, "pointerup", function () { map.dragging.enable(); });

  function cut() {
    const size = map.getSize();
    const at = Math.round(size.x * range.value / 100);
    const corner = map.containerPointToLayerPoint([0, 0]), end = map.containerPointToLayerPoint(size);
    const middle = corner.x + at;
    map.getPane("earthfield-left").style.clip =
      "rect(" + [corner.y, middle, end.y, corner.x].map((one) => one + "px").join(",") + ")";
    map.getPane("earthfield-right").style.clip =
      "rect(" + [corner.y, end.x, end.y, middle].map((one) => one + "px").join(",") + ")";
    line.style.left = at + "px";
    range.setAttribute("aria-valuetext", range.value + " % of " + names.left.textContent);
  }

  function told(event, change) {
    const options = event.layer.options || {};
    const side = SIDES.find((one) => options.pane === "earthfield-" + one);
    if (!side) return;
    on[side][change](event.layer);
    const last = Array.from(on[side]).pop();
    names[side].textContent = last ? last.options.earthfieldName || "" : "";
    box.hidden = !(on.left.size && on.right.size);
    cut();
  }

  map.on("layeradd", (event) => told(event, "add"));
  map.on("layerremove", (event) => told(event, "delete"));
  map.on("move resize", cut);
  range.addEventListener("input", cut);
};

/* The street map of other people: asked for by hand, and told in words where it cannot be reached. */
window.earthfieldStreets = function (map) {
  "use strict";
  map.createPane("earthfield-streets").style.zIndex = 150;
  map.attributionControl.setPrefix(false);
  const note = L.DomUtil.create("div", "earthfield-note", map.getContainer());
  note.hidden = true;
  note.setAttribute("role", "status");
  note.textContent = "The street map cannot be reached: is there no internet? Everything else works without it.";
  map.on("layeradd", function (event) {
    if ((event.layer.options || {}).pane !== "earthfield-streets") return;
    let num = 0;
    event.layer.on("tileload", function () { num += 1; note.hidden = true; });
    event.layer.on("tileerror", function () { note.hidden = num > 0 || !map.hasLayer(event.layer); });
  });
  map.on("layerremove", function (event) {
    if ((event.layer.options || {}).pane === "earthfield-streets") note.hidden = true;
  });
};

/* A place that was found, with its rank: large enough to read for the best, a dot for the rest. */
window.earthfieldRank = function (feature, latlng) {
  "use strict";
  const NUM_READ = 25;
  const rank = feature.properties.rank, isRead = rank <= NUM_READ, side = isRead ? 22 : 12;
  const icon = L.divIcon({
    className: "earthfield-rank", html: isRead ? String(rank) : "", iconSize: [side, side],
    iconAnchor: [side / 2, side / 2],
  });
  return L.marker(latlng, { icon: icon, zIndexOffset: -1000 * rank })
    .bindTooltip("Rank " + rank + ", similarity " + feature.properties.score.toFixed(3));
};
