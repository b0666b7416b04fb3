// What the pointer and the keyboard add to a report: sorted tables, curves switched on and off, values at a
// point of a curve, and a slider over training steps. The page is complete without this script.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const make = (name, attributes = {}, ...children) => {
    const svg = ["g", "line", "circle"].includes(name);
    const element = svg ? document.createElementNS(SVG, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };

  // Tables. A heading sorts upwards, then downwards, then restores the order of the page. Cells without a
  // value come last, and after them the rows of real images.
  const key = (cell) => {
    const text = cell.dataset.value ?? cell.textContent.trim();
    if (text === "" || text === "\u2013") return null;
    const number = cell.tagName === "TD" ? parseFloat(text.replaceAll(",", "")) : NaN;
    return Number.isNaN(number) ? text : number;
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : `${a}`.localeCompare(b, "en", { numeric: true });
  for (const table of all("table:has(thead)")) {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const headings = all("thead th", table);
    if (rows.filter((row) => row.className !== "real").length < 2) continue;
    let column = 0;
    for (const heading of headings) {
      const index = column;
      const button = make("button", { type: "button" }, ...heading.childNodes);
      column += heading.colSpan;
      heading.append(button);
      button.addEventListener("click", () => {
        const order = { ascending: "descending", descending: null }[heading.ariaSort ?? ""];
        const next = order === undefined ? "ascending" : order;
        for (const other of headings) other.removeAttribute("aria-sort");
        if (next) heading.setAttribute("aria-sort", next);
        const keys = new Map(rows.map((row) => [row, key(row.cells[index])]));
        const last = (row) => (row.className === "real" ? 2 : keys.get(row) === null ? 1 : 0);
        const sign = { ascending: 1, descending: -1 }[next];
        const sorted = next
          ? rows.toSorted((a, b) => last(a) - last(b) || sign * compare(keys.get(a), keys.get(b)))
          : rows;
        body.append(...sorted);
      });
    }
  }

  // Curves on and off, by the names in a legend. A figure whose curves bear their names gets a legend here.
  for (const figure of all(".budgets")) {
    const lines = all("polyline[data-series]", figure);
    const items = lines.map((line) => {
      const swatch = make("span", { class: line.getAttribute("class").replace("smooth", "key") });
      swatch.classList.add("key");
      return make("li", {}, swatch, line.dataset.series);
    });
    figure.parentElement.before(make("ul", { class: "legend" }, ...items));
  }
  for (const item of all(".legend li")) {
    const name = item.textContent;
    const button = make("button", { type: "button", "aria-pressed": "true" }, ...item.childNodes);
    item.append(button);
    button.addEventListener("click", () => {
      const on = button.ariaPressed !== "true";
      button.ariaPressed = on;
      for (const part of all("[data-series]", item.parentElement.nextElementSibling))
        if (part.dataset.series === name) part.classList.toggle("off", !on);
    });
  }

  // Values of all curves at the point nearest to the pointer, or at the one that the arrow keys chose.
  const tip = make("div", { class: "tip", role: "status" });
  document.body.append(tip);
  for (const chart of all("svg.chart")) {
    const split = (text) => (text ? text.split(";") : []);
    const curves = all("polyline[data-values]", chart).map((line) => ({
      line,
      points: line.getAttribute("points").split(" ").map((point) => point.split(",").map(Number)),
      at: split(line.dataset.at), // absent for a level, which has one value everywhere
      values: split(line.dataset.values),
      more: split(line.dataset.more),
    }));
    const places = curves.flatMap(({ at, points }) => at.map((label, i) => ({ label, x: points[i][0] })));
    places.sort((a, b) => a.x - b.x);
    if (!places.length) continue;
    const marks = chart.appendChild(make("g", { class: "marks" }));
    const nearest = (list, x) =>
      list.reduce((best, one, i) => (Math.abs(one - x) < Math.abs(list[best] - x) ? i : best), 0);
    let chosen = places.length - 1;
    const show = () => {
      const { label, x } = places[chosen];
      const box = chart.getBoundingClientRect();
      const scale = box.width / chart.viewBox.baseVal.width;
      const rows = [];
      marks.replaceChildren();
      for (const { line, points, at, values, more } of curves) {
        const i = at.length ? nearest(points.map((point) => point[0]), x) : 0;
        const other = at.length && at[i] !== label; // curves need not have the same steps
        if (line.classList.contains("off") || (other && Math.abs(points[i][0] - x) > 4)) continue;
        const colour = line.getAttribute("class").replace(/smooth|whisker/, "");
        const [cx, cy] = points[i];
        if (at.length) marks.append(make("circle", { class: `dot ${colour}`, cx, cy, r: 3.2 }));
        const swatch = make("td", {}, make("span", { class: `key ${colour}` }));
        const name = make("th", {}, line.dataset.series + (other ? ` at ${at[i]}` : ""));
        rows.push(make("tr", {}, swatch, name, make("td", {}, values[i]), make("td", {}, more[i] ?? "")));
      }
      const heads = split(chart.dataset.columns).map((head) => make("td", {}, head));
      const first = make("th", { colspan: 2 }, `${chart.dataset.x} ${label}`);
      tip.replaceChildren(make("table", {}, make("tr", {}, first, ...heads), ...rows));
      const left = box.left + x * scale + 14;
      const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
      tip.style.left = `${Math.max(8, left > room ? Math.min(room, left - tip.offsetWidth - 28) : left)}px`;
      tip.style.top = `${Math.max(8, box.top - 8)}px`;
    };
    const point = (event) => {
      const box = chart.getBoundingClientRect();
      const x = ((event.clientX - box.left) * chart.viewBox.baseVal.width) / box.width;
      chosen = nearest(places.map((place) => place.x), x);
      show();
    };
    const leave = () => {
      chosen = places.length - 1;
      marks.replaceChildren();
      tip.replaceChildren();
    };
    chart.setAttribute("tabindex", "0");
    chart.addEventListener("pointermove", point);
    chart.addEventListener("pointerdown", point);
    chart.addEventListener("pointerleave", leave);
    chart.addEventListener("blur", leave);
    chart.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key === "Escape") leave();
      if (!by) return;
      event.preventDefault();
      const from = tip.childElementCount ? places[chosen].x : null;
      const next = places.findIndex((place) => place.x > from);
      const before = places.findLastIndex((place) => place.x < from);
      if (from !== null) chosen = Math.max(0, by > 0 ? (next < 0 ? places.length - 1 : next) : before);
      show();
    });
  }

  // Samples at one training step, side by side; the slider moves over the columns of all pictures.
  const runs = all("#evolution figure[data-steps]").map((figure) => {
    const canvas = make("canvas", { role: "img", class: "stage" });
    const picture = figure.querySelector("img");
    if (picture.className) canvas.classList.add(picture.className);
    picture.before(canvas);
    const own = figure.dataset.steps.split(" ").map(Number);
    return { figure, picture, canvas, steps: own, note: figure.querySelector(".at") };
  });
  const steps = [...new Set(runs.flatMap((run) => run.steps))].sort((a, b) => a - b);
  if (!steps.length) return;
  const last = steps.length - 1;
  const slider = make("input", { type: "range", min: 0, max: last, value: last, "aria-label": "training step" });
  const output = make("output");
  const draw = () => {
    const step = steps[slider.value];
    output.textContent = `step ${step.toLocaleString("en")}`;
    slider.setAttribute("aria-valuetext", output.textContent);
    for (const { figure, picture, canvas, steps: own, note } of runs) {
      const column = Math.max(0, own.findLastIndex((each) => each <= step));
      const [height, width, gap] = figure.dataset.tile.split(" ").map(Number);
      const rows = (picture.naturalHeight + gap) / (height + gap);
      canvas.width = rows * (width + gap) - gap;
      canvas.height = height;
      const context = canvas.getContext("2d");
      for (let row = 0; row < rows; row++)
        context.drawImage(
          picture,
          ...[column * (width + gap), row * (height + gap), width, height], // from
          ...[row * (width + gap), 0, width, height], // to
        );
      note.textContent = `, step ${own[column].toLocaleString("en")}`;
      canvas.setAttribute("aria-label", figure.textContent);
      all(".steps span", figure).forEach((label, i) => label.classList.toggle("now", i === column));
    }
  };
  slider.addEventListener("input", draw);
  for (const { picture, steps: own } of runs)
    picture.addEventListener("click", (event) => {
      const column = Math.floor((event.offsetX / picture.clientWidth) * own.length);
      slider.value = steps.indexOf(own[Math.min(own.length - 1, Math.max(0, column))]);
      draw();
    });
  document.querySelector("#evolution .pictures").before(make("p", { class: "slide" }, slider, output));
  Promise.all(runs.map((run) => run.picture.decode())).then(draw);
})();
