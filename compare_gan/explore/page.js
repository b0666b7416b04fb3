// The page of `compare-gan explore`. What is seen is kept in the fragment of the URL, so that a link shows it.
"use strict";
(async () => {
  const token = new URLSearchParams(location.search).get("token");
  const find = (selector) => document.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const make = (name, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };

  // Requests. Of each view one is under way; when it is answered, the newest one that came meanwhile follows.
  const problem = find(".problem");
  const report = (message) => {
    problem.textContent = message;
    problem.hidden = !message;
  };
  const ask = async (view, parameters) => {
    const answer = await fetch(`/${view}?${new URLSearchParams({ ...parameters, token })}`);
    const value = await answer.json();
    if (!answer.ok) throw new Error(value.error);
    return value;
  };
  const view = (name, parameters, show, place, fail = report) => {
    let running = false;
    let again = false;
    const update = async () => {
      again = running;
      if (running) return;
      running = true;
      place?.classList.add("busy");
      try {
        do {
          again = false;
          show(await ask(name, parameters()));
          report("");
        } while (again);
      } catch (error) {
        fail(error instanceof TypeError ? "compare-gan explore has ended; start it again." : error.message);
      }
      running = false;
      place?.classList.remove("busy");
      if (again) update();
    };
    return update;
  };

  let about;
  try {
    about = await ask("about", {});
  } catch (error) {
    report(error.message);
    return;
  }
  const conditional = about.classes.length > 0;
  const [height, width] = about.shape;
  document.title = about.title;
  find("h1").textContent = about.title;
  find(".facts").textContent = about.facts.join(" \u00b7 ");

  // The state, and its form in the URL.
  const most = (rows) => Math.max(1, Math.floor(about.most / rows));
  const rows = () => (conditional ? state.classes.length : about.rows);
  const first = about.classes.slice(0, 10).map((_, k) => k);
  const state = { seed: 0, columns: 0, classes: first, truncation: "", a: "", b: "", z: 0, y: 0 };
  const known = new URLSearchParams(location.hash.slice(1));
  for (const name of ["seed", "columns", "z", "y"]) if (known.has(name)) state[name] = Number(known.get(name)) || 0;
  for (const name of ["truncation", "a", "b"]) if (known.has(name)) state[name] = known.get(name);
  const words = (known.get("classes") ?? "").split(",");
  const chosen = words.filter((word) => /^\d+$/.test(word) && word < about.classes.length);
  if (chosen.length) state.classes = chosen.map(Number);
  if (conditional && rows() > about.most) state.classes.length = about.most;
  if (!state.columns) state.columns = Math.min(10, most(rows()));
  const keep = () => history.replaceState(null, "", `${location.search}#${new URLSearchParams(state)}`);

  // A grid of buttons over a picture, one for each image; arrow keys move between them.
  const tiles = (place, count, columns, label, choose) => {
    const focused = [...place.children].indexOf(document.activeElement);
    place.style.gridTemplateColumns = `repeat(${columns}, 1fr)`;
    place.replaceChildren(...Array.from({ length: count }, (_, i) => {
      const button = make("button", { type: "button", ariaLabel: label(i), title: label(i), tabIndex: i ? -1 : 0 });
      button.addEventListener("click", () => choose(i));
      return button;
    }));
    place.onkeydown = (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
      const next = by && place.children[[...place.children].indexOf(document.activeElement) + by];
      if (!next) return;
      event.preventDefault();
      for (const other of place.children) other.tabIndex = other === next ? 0 : -1;
      next.focus();
    };
    if (focused >= 0) place.children[Math.min(focused, count - 1)].focus();
  };
  const magnified = (image) => image.classList.toggle("crisp", Math.max(height, width) < 64);
  for (const image of all("img")) magnified(image);

  // Samples.
  const grid = find("#samples .tiles");
  const pointOf = (i) => {
    const row = Math.floor(i / state.columns);
    const index = (i % state.columns) * rows() + row;
    return [state.seed, index, ...(conditional ? [state.classes[row]] : [])].join(".");
  };
  const describe = (point) => {
    const [seed, index, label] = point.split(".");
    return `${conditional ? `${about.classes[label]}, ` : ""}seed ${seed}, image ${index}`;
  };
  const mark = () => {
    [...grid.children].forEach((tile, i) => {
      const names = ["a", "b"].filter((end) => state[end] === pointOf(i)).join(" ").toUpperCase();
      if (names) tile.dataset.mark = names;
      else delete tile.dataset.mark;
    });
  };
  const samples = view("samples",
    () => ({ seed: state.seed, columns: state.columns, classes: state.classes, truncation: state.truncation }),
    (shown) => {
      find("#grid").src = find("#save").href = shown.picture;
      find("#grid").alt = `${shown.rows * shown.columns} generated images, ${shown.rows} rows of ${shown.columns}`;
      find("#command").textContent = shown.command;
      if (shown.rows * shown.columns !== rows() * state.columns) return; // a newer request follows
      const choose = (i) => select(find("[name=end]:checked").value, pointOf(i));
      tiles(grid, shown.rows * shown.columns, shown.columns, (i) => describe(pointOf(i)), choose);
      const names = conditional ? state.classes.map((k) => about.classes[k]) : [];
      find(".names").replaceChildren(...names.map((name) => make("span", { title: name }, name)));
      mark();
    }, find("#samples .picture"));

  // Between A and B.
  const steps = (count) => Array.from({ length: count }, (_, i) => Math.round((100 * i) / (count - 1)) / 100);
  const small = about.most < 60;
  const columns = small ? 5 : 9;
  const label = (point) => point.split(".")[2];
  const downwards = () => (label(state.a) !== label(state.b) ? steps(small ? 2 : 5) : [0]);
  const across = steps(columns);
  const ends = () => ({ a: state.a, b: state.b, truncation: state.truncation });
  const place = () => ({ ...ends(), z: state.z, y: state.y });
  const image = view("between", place, (shown) => { find("#image").src = shown.picture; });
  const closest = (list, value) =>
    list.reduce((best, each, i) => (Math.abs(each - value) < Math.abs(list[best] - value) ? i : best), 0);
  const here = () => {
    const tile = closest(downwards(), state.y) * columns + closest(across, state.z);
    [...find("#between .tiles").children].forEach((each, i) => {
      if (i === tile) each.dataset.mark = "\u00b7";
      else delete each.dataset.mark;
    });
  };
  const map = view("between", () => ({ ...ends(), z: across, y: downwards() }),
    (shown) => {
      const picture = find("#map");
      picture.src = shown.picture;
      const down = shown.rows > 1 ? `, ${shown.rows} steps of the class from top to bottom` : "";
      picture.alt = `${shown.columns} steps of the latent vector from A to B, from left to right${down}`;
      if (shown.rows !== downwards().length) return; // a newer request follows
      const at = (i) => [across[i % columns], downwards()[Math.floor(i / columns)]];
      const name = (i) => `latent vector ${at(i)[0]}, class ${at(i)[1]}`;
      tiles(find("#between .tiles"), shown.rows * columns, columns, name, (i) => move(...at(i)));
      const note = shown.rows > 1 ? ", the class from top to bottom" : "";
      find("#map-note").textContent = `The latent vector changes from left to right${note}.`;
      here();
    }, find("#between .picture"));
  const thumbnails = Object.fromEntries(["a", "b"].map((end) => [end, view("between",
    () => ({ a: state[end], b: state[end], truncation: state.truncation }),
    (shown) => {
      const picture = find(`#${end}`);
      picture.src = shown.picture;
      picture.alt = describe(state[end]);
      picture.nextElementSibling.textContent = `${end.toUpperCase()}: ${describe(state[end])}`;
    })]));

  // The nearest training images, once they have been asked for.
  let nearby = false;
  let timer;
  const near = view("nearest", place,
    ({ neighbours, extractor, share_nearer: share }) => {
      const percent = share === null ? "" : (100 * share).toFixed(share < 0.1 ? 1 : 0);
      const real = percent && ` ${percent}% of held-out images are nearer to a training image than this one is.`;
      const note = `Distances between features of the extractor \u201c${extractor}\u201d.${real}`;
      find("#near-note").textContent = note;
      find(".near").replaceChildren(...neighbours.map((each) => {
        const picture = make("img", { src: each.picture, alt: `training image ${each.index}` });
        magnified(picture);
        const lines = [each.distance.toPrecision(3), each.class ?? ""].map((text) => make("span", {}, text));
        return make("li", {}, picture, ...lines);
      }));
    }, find(".near"), (message) => {
      nearby = false;
      find("#find").hidden = false;
      find("#near-note").textContent = message;
      find(".near").replaceChildren();
    });
  if (about.training) {
    find("#find").hidden = true;
    find("#near-note").textContent = about.training;
  }
  find("#find").addEventListener("click", () => {
    nearby = true;
    find("#find").hidden = true;
    find("#near-note").textContent = "Opening the training images\u2026";
    near();
  });

  // Changes.
  const move = (z, y) => {
    [state.z, state.y] = [z, y];
    for (const name of ["z", "y"]) {
      find(`#${name}`).value = state[name];
      find(`[for=${name}]`).textContent = state[name].toFixed(2);
    }
    find(".of-class").hidden = downwards().length < 2;
    keep();
    here();
    image();
    clearTimeout(timer);
    if (nearby) timer = setTimeout(near, 300);
  };
  const select = (end, point) => {
    state[end] = point;
    mark();
    thumbnails[end]();
    map();
    move(...(end === "a" ? [0, 0] : [1, 1]));
  };
  const redraw = () => {
    find("#columns").max = most(rows());
    state.columns = Math.min(state.columns, most(rows()));
    find("#columns").value = state.columns;
    keep();
    samples();
  };
  const everything = () => {
    redraw();
    map();
    for (const update of Object.values(thumbnails)) update();
    move(state.z, state.y);
  };
  find("#seed").value = state.seed;
  find("#seed").addEventListener("input", (event) => {
    if (event.target.value === "" || !event.target.validity.valid) return;
    state.seed = Number(event.target.value);
    redraw();
  });
  find("#another").addEventListener("click", () => {
    state.seed = Math.floor(Math.random() * 100000);
    find("#seed").value = state.seed;
    redraw();
  });
  find("#columns").addEventListener("input", (event) => {
    if (event.target.value === "" || !event.target.validity.valid) return;
    state.columns = Number(event.target.value);
    redraw();
  });
  find(".truncation").hidden = !about.truncation;
  const truncate = () => {
    const on = find("#truncated").checked;
    find("#truncation").disabled = !on;
    find("[for=truncation]").textContent = on ? Number(find("#truncation").value).toFixed(2) : "none";
    state.truncation = on ? find("#truncation").value : "";
  };
  find("#truncated").checked = state.truncation !== "";
  find("#truncation").value = state.truncation || 1;
  truncate();
  for (const name of ["#truncated", "#truncation"])
    find(name).addEventListener("input", () => {
      truncate();
      everything();
    });
  for (const name of ["#z", "#y"])
    find(name).addEventListener("input", () => move(Number(find("#z").value), Number(find("#y").value)));
  for (const radio of all("[name=end]"))
    radio.addEventListener("click", () => move(...(radio.value === "a" ? [0, 0] : [1, 1])));

  // Classes: buttons that are on or off; rows are in the order of the classes.
  const chips = about.classes.map((name, k) => {
    const button = make("button", { type: "button" }, name);
    button.setAttribute("aria-pressed", state.classes.includes(k));
    button.addEventListener("click", () => {
      const others = state.classes.filter((each) => each !== k);
      const next = others.length < state.classes.length ? others : [...others, k].sort((a, b) => a - b);
      if (!next.length || next.length > about.most) return;
      state.classes = next;
      chips.forEach((chip, i) => chip.setAttribute("aria-pressed", next.includes(i)));
      redraw();
    });
    return button;
  });
  find(".chips").append(...chips);
  find(".classes").hidden = !conditional;
  find("#filter").hidden = chips.length <= 20;
  find("#filter").addEventListener("input", (event) => {
    const word = event.target.value.toLowerCase();
    for (const chip of chips) chip.hidden = !chip.textContent.toLowerCase().includes(word);
  });

  // Text for elsewhere.
  const copy = (button, text) => {
    const label = find(button).textContent;
    find(button).addEventListener("click", async () => {
      await navigator.clipboard.writeText(text());
      find(button).textContent = "Copied";
      setTimeout(() => { find(button).textContent = label; }, 1500);
    });
  };
  copy("#copy-command", () => find("#command").textContent);
  copy("#copy-link", () => location.href);

  if (!state.a) state.a = pointOf(0);
  if (!state.b) state.b = pointOf(Math.max(0, (rows() - 1) * state.columns + Math.min(1, state.columns - 1)));
  everything();
})();
