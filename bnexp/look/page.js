"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const NUM_RIDGES = 9;
  const shown = data.columns.slice();
  let doc = null, steps = [], playing = null;

  const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  function half(bits) {
    const sign = bits & 0x8000 ? -1 : 1, power = (bits >> 10) & 31, rest = bits & 1023;
    if (power === 31) return NaN;
    return sign * (power ? Math.pow(2, power - 15) * (1 + rest / 1024) : Math.pow(2, -14) * (rest / 1024));
  }
  // A place's percentiles, (look, kept unit, percentile) to number, decoded when they are first drawn.
  function values(run, layer, point) {
    const place = run.places[layer + "/" + point];
    if (!place.decoded) {
      const raw = new DataView(bytes(place.q).buffer), units = data.units[layer].length;
      place.decoded = (t, u, q) => half(raw.getUint16(2 * ((t * units + u) * 3 + q), true));
      place.density = place.d ? bytes(place.d) : null;
    }
    return place;
  }
  const model = (name) => doc.get_model_by_name(name);
  const spot = (step) => (step === 0 ? data.zero : step);
  const colour = (run) => run.colour[dark.matches ? 1 : 0];
  const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const now = () => steps[Number(at("slider").value)];

  function lookAt(run, step) {
    let found = 0;
    run.steps.forEach((one, t) => { if (one <= step) found = t; });
    return found;
  }

  function drawTracks(row, column) {
    const run = data.runs[shown[column]], layer = data.layers[row], point = at("point").value;
    const place = values(run, layer, point), name = `tracks_${row}_${column}`, plot = model(name);
    const one = at("unit").value, all = one === "";
    const tracked = data.tracks[layer].slice();
    const picked = all ? -1 : data.units[layer].indexOf(Number(one));
    if (picked >= 0 && !tracked.includes(picked)) tracked.push(picked);
    tracked.sort((a, b) => (a === picked) - (b === picked));
    const columns = { xs: [], ys: [], bx: [], by: [], colour: [], line: [], band: [], width: [], unit: [] };
    for (const u of tracked) {
      const xs = [], low = [], middle = [], high = [];
      for (let t = 0; t < run.steps.length; t++) {
        const values = [0, 1, 2].map((q) => place.decoded(t, u, q));
        if (values.some((value) => !Number.isFinite(value))) break;
        xs.push(spot(run.steps[t])); low.push(values[0]); middle.push(values[1]); high.push(values[2]);
      }
      const strong = u === picked;
      columns.xs.push(xs); columns.ys.push(middle);
      columns.bx.push(xs.concat(xs.slice().reverse())); columns.by.push(low.concat(high.slice().reverse()));
      columns.colour.push(all || strong ? colour(run) : ink("--soft"));
      columns.line.push(all ? 0.85 : strong ? 1 : 0.3); columns.band.push(all ? 0.06 : strong ? 0.3 : 0.03);
      columns.width.push(strong ? 2.6 : 1.3); columns.unit.push(data.units[layer][u]);
    }
    model(`${name}_data`).data = columns;
    const [low, high] = data.limits[`${layer}/${point}`];
    plot.y_range.setv({ start: low, end: high });
    at(`said_${row}_${column}`).textContent = place.said[0];
    at(`pooled_${row}_${column}`).textContent = place.said[1];
    at(`title_${row}_${column}`).textContent = `${run.label}, ${at("point").selectedOptions[0].textContent}`;
  }

  function drawRidges(row, column) {
    const run = data.runs[shown[column]], layer = data.layers[row], point = at("point").value;
    const place = values(run, layer, point), name = `ridges_${row}_${column}`, plot = model(name);
    const [low, high] = data.wide[`${layer}/${point}`], current = lookAt(run, now());
    const number = run.steps.length, count = Math.min(NUM_RIDGES, number);
    const looks = Array.from({ length: count }, (_, slot) => Math.round(slot * (number - 1) / Math.max(count - 1, 1)));
    const slot = looks.reduce((found, look, index) => (look <= current ? index : found), 0);
    const columns = { xs: [], ys: [], fill: [], alpha: [], line: [] };
    const words = { x: [], y: [], text: [], colour: [] };
    plot.x_range.setv({ start: low, end: high });
    plot.y_range.setv({ start: -count + 0.8, end: 1.9 });
    looks.forEach((look, index) => {
      const here = index === slot, t = here ? current : look;
      words.x.push(low + 0.01 * (high - low)); words.y.push(-index + 0.05);
      words.text.push(run.steps[t].toLocaleString("en")); words.colour.push(here ? ink("--ink") : ink("--soft"));
      if (!place.density) return;
      const bins = place.density.length / number, xs = [low], ys = [-index];
      for (let g = 0; g < bins; g++) {
        xs.push(low + (high - low) * (g + 0.5) / bins); ys.push(-index + 1.7 * place.density[t * bins + g] / 255);
      }
      xs.push(high); ys.push(-index);
      columns.xs.push(xs); columns.ys.push(ys);
      columns.fill.push(here ? colour(run) : ink("--paper")); columns.alpha.push(here ? 0.85 : 0.7);
      columns.line.push(here ? ink("--ink") : colour(run));
    });
    model(`${name}_data`).data = columns;
    model(`${name}_text`).data = words;
  }

  function drawAccuracy() {
    const columns = { xs: [], ys: [], colour: [], alpha: [], width: [], dash: [], label: [] };
    const order = data.runs.map((_, index) => index).sort((a, b) => shown.includes(a) - shown.includes(b));
    for (const index of order) {
      const run = data.runs[index], strong = shown.includes(index);
      columns.xs.push(run.accuracy[0].map(spot));
      columns.ys.push(run.accuracy[1].map((value) => (value === null ? NaN : value)));
      columns.colour.push(colour(run)); columns.alpha.push(strong ? 1 : 0.35); columns.width.push(strong ? 2.4 : 1);
      columns.dash.push(run.dash); columns.label.push(run.label);
    }
    model("accuracy_data").data = columns;
  }

  const each = (draw) => data.layers.forEach((_, row) => shown.forEach((_, column) => draw(row, column)));

  function moved() {
    const step = now();
    at("step").textContent = `step ${step.toLocaleString("en")}`;
    at("slider").setAttribute("aria-valuetext", `step ${step}`);
    model("accuracy_cursor").location = spot(step);
    each((row, column) => { model(`tracks_${row}_${column}_cursor`).location = spot(step); drawRidges(row, column); });
  }

  function chosen() {
    const before = steps.length ? now() : 0;
    steps = [...new Set(shown.flatMap((index) => data.runs[index].steps))].sort((a, b) => a - b);
    const slider = at("slider");
    slider.max = steps.length - 1;
    slider.value = Math.max(0, steps.findLastIndex((step) => step <= before));
    shown.forEach((index, column) => { at(`swatch_${column}`).style.background = colour(data.runs[index]); });
    each(drawTracks); drawAccuracy(); moved();
  }

  function theme() {
    const names = ["accuracy"];
    each((row, column) => names.push(`tracks_${row}_${column}`, `ridges_${row}_${column}`));
    for (const name of names) {
      const plot = model(name), text = ink("--soft"), line = ink("--line");
      for (const axis of [...plot.below, ...plot.left]) {
        axis.setv({ major_label_text_color: text, axis_line_color: line, major_tick_line_color: line });
      }
      for (const part of plot.center) if (part.type.endsWith("Grid")) part.grid_line_color = line;
      const cursor = model(`${name}_cursor`);
      if (cursor) cursor.line_color = ink("--ink");
    }
    chosen();
  }

  function go(by) {
    const slider = at("slider"), place = Math.min(Math.max(Number(slider.value) + by, 0), steps.length - 1);
    slider.value = place; moved();
    if (place === steps.length - 1) stop();
  }
  function stop() {
    clearInterval(playing); playing = null;
    at("play").textContent = "\u25B6"; at("play").setAttribute("aria-label", "play");
  }
  function toggle() {
    if (playing !== null) return stop();
    if (Number(at("slider").value) === steps.length - 1) { at("slider").value = 0; moved(); }
    playing = setInterval(() => go(1), 450);
    at("play").textContent = "\u275A\u275A"; at("play").setAttribute("aria-label", "pause");
  }

  function listen() {
    at("slider").addEventListener("input", () => { stop(); moved(); });
    at("play").addEventListener("click", toggle);
    at("point").addEventListener("change", () => { each(drawTracks); moved(); });
    at("unit").addEventListener("change", () => each(drawTracks));
    shown.forEach((_, column) => at(`run_${column}`).addEventListener("change", (event) => {
      shown[column] = Number(event.target.value); chosen();
    }));
    dark.addEventListener("change", theme);
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
      if (event.key === " " && event.target.tagName !== "BUTTON") { event.preventDefault(); toggle(); }
      if (event.target.id !== "slider") {
        if (event.key === "ArrowRight") { event.preventDefault(); stop(); go(1); }
        if (event.key === "ArrowLeft") { event.preventDefault(); stop(); go(-1); }
      }
    });
    const numbers = [...new Set(Object.values(data.units).flat())].sort((a, b) => a - b);
    at("unit").append(new Option("ten of each layer", ""), ...numbers.map((unit) => new Option(`unit ${unit}`, unit)));
  }

  (function begin() {
    doc = (window.Bokeh && Bokeh.documents[0]) || null;
    if (!doc || !model("accuracy")) return setTimeout(begin, 30);
    listen(); theme();
    at("slider").value = steps.length - 1; moved();
    document.body.dataset.ready = "yes";
  })();
})();
