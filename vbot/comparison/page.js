"use strict";
(() => {
  // Tables: a click, Enter or Space on a heading sorts; what has no value stays at the end.
  const missing = (cell) => cell.dataset.v === undefined || cell.dataset.v === "";
  function sort(table, place, direction) {
    const body = table.tBodies[0];
    const numeric = table.tHead.rows[0].cells[place].dataset.kind === "number";
    const order = (a, b) => {
      const x = a.cells[place], y = b.cells[place];
      if (missing(x) || missing(y)) return missing(x) - missing(y);
      const by = numeric ? Number(x.dataset.v) - Number(y.dataset.v) : x.dataset.v.localeCompare(y.dataset.v, "en", { numeric: true });
      return direction === "ascending" ? by : -by;
    };
    body.append(...[...body.rows].sort(order));
    for (const head of table.tHead.rows[0].cells) head.removeAttribute("aria-sort");
    table.tHead.rows[0].cells[place].setAttribute("aria-sort", direction);
  }
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((head, place) => {
      head.querySelector("button")?.addEventListener("click", () => {
        const other = { ascending: "descending", descending: "ascending" };
        sort(table, place, other[head.getAttribute("aria-sort")] ?? head.dataset.first);
      });
    });
  }

  // The filter: every word must occur somewhere in a row.
  const filter = document.getElementById("filter"), count = document.getElementById("count");
  const rows = [...document.querySelectorAll("table.runs tbody tr, .findings > li")];
  const runs = rows.filter((row) => row.matches("tr"));
  function narrow() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = (row.dataset.words ?? row.textContent).toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
    const left = runs.filter((row) => !row.hidden).length;
    count.textContent = words.length ? `${left} of ${runs.length}` : "";
  }
  filter.addEventListener("input", narrow);
  filter.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { filter.value = ""; narrow(); }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== filter) { event.preventDefault(); filter.focus(); }
  });

  // Curves.
  const NS = "http://www.w3.org/2000/svg";
  const DASHES = ["", "7 4", "2 3", "9 3 2 3"];
  function make(name, attributes, parent, text) {
    const node = document.createElementNS(NS, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  }
  const percent = (rate) => `${(100 * rate).toFixed(1)} %`;
  const millions = (steps) => `${(steps / 1e6).toFixed(steps < 1e6 ? 3 : 2)} M steps`;
  function at(curve, x, key) {
    const steps = curve.steps;
    if (x < steps[0] || x > steps[steps.length - 1]) return null;
    let i = steps.findIndex((s) => s >= x);
    if (steps[i] === x || i === 0) return curve[key][i];
    const share = (x - steps[i - 1]) / (steps[i] - steps[i - 1]);
    return curve[key][i - 1] + share * (curve[key][i] - curve[key][i - 1]);
  }
  function ticks(end) {
    const rough = end / 6, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((m) => m * power >= rough);
    return Array.from({ length: Math.floor(end / step + 1e-9) + 1 }, (_, i) => i * step);
  }

  class Chart {
    constructor(figure, curves) {
      this.curves = curves;
      this.svg = figure.querySelector("svg");
      this.readout = figure.querySelector(".at");
      this.buttons = [...figure.querySelectorAll(".legend button")];
      this.shown = curves.map(() => true);
      this.end = Math.max(...curves.flatMap((c) => [...c.steps, ...c.lines.flatMap((l) => l.steps)]));
      // Where there were evaluations; a curve has more points, where its seeds cross.
      const within = (c, s) => c.steps[0] <= s && s <= c.steps[c.steps.length - 1];
      const looked = curves.flatMap((c) => c.lines.flatMap((l) => l.steps.filter((s) => within(c, s))));
      this.stops = [...new Set(looked)].sort((a, b) => a - b);
      this.cursor = null;
      this.buttons.forEach((button, i) => button.addEventListener("click", () => {
        this.shown[i] = !this.shown[i];
        button.setAttribute("aria-pressed", String(this.shown[i]));
        this.draw();
      }));
      this.svg.setAttribute("aria-valuemin", 0);
      this.svg.setAttribute("aria-valuemax", this.stops.length - 1);
      this.svg.addEventListener("pointermove", (event) => this.point(event.offsetX));
      this.svg.addEventListener("pointerleave", () => this.move(null));
      this.svg.addEventListener("focus", () => { if (this.cursor === null) this.move(this.stops.length - 1); });
      this.svg.addEventListener("blur", () => this.move(null));
      this.svg.addEventListener("keydown", (event) => this.key(event));
      new ResizeObserver(() => this.draw()).observe(this.svg);
      this.move(null);
    }
    x(steps) { return this.left + (steps / this.end) * (this.right - this.left); }
    y(rate) { return this.bottom - rate * (this.bottom - this.top); }
    path(steps, values) { return steps.map((s, i) => `${i ? "L" : "M"}${this.x(s).toFixed(1)} ${this.y(values[i]).toFixed(1)}`).join(""); }
    draw() {
      const { width, height } = this.svg.getBoundingClientRect();
      Object.assign(this, { left: 46, right: width - 14, top: 10, bottom: height - 34 });
      this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      this.svg.replaceChildren();
      for (const rate of [0, 0.25, 0.5, 0.75, 1]) {
        make("line", { class: "grid", x1: this.left, x2: this.right, y1: this.y(rate), y2: this.y(rate) }, this.svg);
        make("text", { x: this.left - 8, y: this.y(rate) + 4, "text-anchor": "end" }, this.svg, `${100 * rate} %`);
      }
      for (const steps of ticks(this.end)) {
        const label = this.end < 1e6 ? `${Math.round(steps / 1e3)} k` : `${+(steps / 1e6).toFixed(2)} M`;
        make("text", { x: this.x(steps), y: this.bottom + 18, "text-anchor": "middle" }, this.svg, label);
      }
      make("text", { x: this.right, y: this.bottom + 31, "text-anchor": "end" }, this.svg, "control steps of training");
      this.curves.forEach((curve, i) => {
        if (!this.shown[i]) return;
        const color = `var(--c${i})`;
        const back = curve.steps.map((_, k) => curve.steps.length - 1 - k);
        const band = this.path(curve.steps, curve.high) + this.path(back.map((k) => curve.steps[k]), back.map((k) => curve.low[k])).replace("M", "L") + "Z";
        make("path", { class: "band", d: band, fill: color, "fill-opacity": 0.16 }, this.svg);
        if (curve.lines.length > 1)
          for (const line of curve.lines)
            make("path", { class: "seed", d: this.path(line.steps, line.success), fill: "none", stroke: color, "stroke-width": 1, "stroke-opacity": 0.4 }, this.svg);
        make("path", { class: "curve", d: this.path(curve.steps, curve.mean), fill: "none", stroke: color, "stroke-width": 2.25, "stroke-linejoin": "round", "stroke-dasharray": DASHES[Math.floor(i / 4)] }, this.svg);
        if (curve.steps.length === 1) make("circle", { cx: this.x(curve.steps[0]), cy: this.y(curve.mean[0]), r: 3.5, fill: color }, this.svg);
      });
      this.mark = make("g", {}, this.svg);
      this.show();
    }
    show() {
      this.mark?.replaceChildren();
      const steps = this.cursor === null ? null : this.stops[this.cursor];
      const told = [];
      if (this.mark && steps !== null) make("line", { class: "cursor", x1: this.x(steps), x2: this.x(steps), y1: this.top, y2: this.bottom }, this.mark);
      this.curves.forEach((curve, i) => {
        const x = steps ?? curve.steps[curve.steps.length - 1];
        const [mean, low, high] = ["mean", "low", "high"].map((key) => at(curve, x, key));
        const range = mean === null ? "–" : `${percent(mean)}`;
        this.buttons[i].querySelector("b").textContent = range;
        this.buttons[i].title = mean === null ? "" : `${percent(low)} to ${percent(high)}`;
        if (this.shown[i] && mean !== null) {
          told.push(`${curve.label} ${percent(mean)} (${percent(low)} to ${percent(high)})`);
          if (this.mark && steps !== null) make("circle", { cx: this.x(x), cy: this.y(mean), r: 4, fill: `var(--c${i})` }, this.mark);
        }
      });
      this.readout.textContent = steps === null ? "at the end" : `at ${millions(steps)}`;
      this.svg.setAttribute("aria-valuenow", this.cursor ?? this.stops.length - 1);
      this.svg.setAttribute("aria-valuetext", `${this.readout.textContent}: ${told.join("; ")}`);
    }
    move(place) {
      this.cursor = place === null ? null : Math.min(Math.max(place, 0), this.stops.length - 1);
      this.show();
    }
    point(pixel) {
      const steps = ((pixel - this.left) / (this.right - this.left)) * this.end;
      const far = this.stops.map((s) => Math.abs(s - steps));
      this.move(far.indexOf(Math.min(...far)));
    }
    key(event) {
      const from = this.cursor ?? this.stops.length - 1;
      const to = { ArrowLeft: from - 1, ArrowRight: from + 1, ArrowDown: from - 1, ArrowUp: from + 1, PageDown: from - 10, PageUp: from + 10, Home: 0, End: this.stops.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      this.move(to);
    }
  }
  const data = JSON.parse(document.getElementById("curves").textContent);
  document.querySelectorAll("figure.curves").forEach((figure, i) => new Chart(figure, data[i]));
})();
