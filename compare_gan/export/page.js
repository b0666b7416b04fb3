"use strict";

// Shape letters: B batch, H W C image, Z latent, K classes.
const about = JSON.parse(document.getElementById("about").textContent);
const [height, width, channels] = about.image_shape;
const classes = about.class_names;
const MANY = 24; // classes, from which on they are filtered by name and not shown all at once
const PER_CLASS = 8, UNCONDITIONAL = 48; // images shown at first
const TILE = 84; // pixels of the screen that an image takes at least
const BATCH_MS = 80; // time that a batch should take, so that the page stays responsive
const MAX_BATCH = 64;
const element = (id) => document.getElementById(id);
const pause = () => new Promise((resolve) => setTimeout(resolve));

// --- Latent vectors ---

/** Mixes the bits of a 32-bit word reversibly: the finaliser of MurmurHash3. */
function mix(word) {
  word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
  return (word ^ (word >>> 16)) >>> 0;
}

/** A function that returns the next word of xoshiro128** (https://arxiv.org/abs/1805.01407) for image `index`. */
function randomWords(seed, index) {
  const s = new Uint32Array([seed, seed ^ 0x9e3779b9, index, index ^ 0x9e3779b9].map(mix));
  const rotated = (word, by) => (word << by) | (word >>> (32 - by));
  const next = () => {
    const word = Math.imul(rotated(Math.imul(s[1], 5), 7), 9) >>> 0;
    const shifted = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotated(s[3], 11);
    return word;
  };
  for (let i = 0; i < 16; i++) next(); // until the words of similar seeds are unrelated
  return next;
}

/** Probability that a standard Gaussian is below x: Marsaglia, https://doi.org/10.18637/jss.v011.i04. */
function gaussianBelow(x) {
  let sum = x;
  for (let term = x, n = 3; Math.abs(term) > 1e-17; n += 2) sum += term *= (x * x) / n;
  return 0.5 + (sum * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
}

/** Inverse of `gaussianBelow`, by Newton's method from a lower bound of the result. */
function gaussianQuantile(probability) {
  if (probability === 0.5) return 0;
  if (probability > 0.5) return -gaussianQuantile(1 - probability);
  let x = -Math.sqrt(-2 * Math.log(2 * probability));
  for (let i = 0; i < 50; i++) {
    const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
    const step = (gaussianBelow(x) - probability) / density;
    x -= step;
    if (Math.abs(step) < 1e-7) break;
  }
  return x;
}

/** The latent vector [Z] of an image. A Gaussian is truncated at `threshold` standard deviations. */
function latent(seed, index, threshold = Infinity) {
  const { name, mean, stddev, minval, maxval } = about.prior;
  const next = randomWords(seed, index);
  const bound = name === "truncated_normal" ? Math.min(threshold, 2) : threshold;
  const tail = bound < Infinity ? gaussianBelow(-bound) : 0;
  return Float32Array.from({ length: about.z_dim }, () => {
    const u = (next() + 0.5) / 2 ** 32;
    return name === "uniform" ? minval + u * (maxval - minval) : mean + stddev * gaussianQuantile(tail + u * (1 - 2 * tail));
  });
}

// --- The generator ---

/** The bytes of an element that contains gzip in base64. */
async function unpacked(id) {
  const text = element(id).textContent;
  const bytes = new Uint8Array((text.length / 4) * 3 - (text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0));
  const PART = 2 ** 20; // characters, a multiple of four
  for (let start = 0; start < text.length; start += PART) {
    const part = atob(text.slice(start, start + PART));
    for (let i = 0; i < part.length; i++) bytes[(start / 4) * 3 + i] = part.charCodeAt(i);
  }
  element(id).remove();
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

/** A function from latent vectors, and class numbers if there are classes, to images [B, H, W, C] in [0, 1]. */
async function openGenerator() {
  const module = URL.createObjectURL(new Blob([await unpacked("runtime-script")], { type: "text/javascript" }));
  const ort = await import(module);
  URL.revokeObjectURL(module);
  ort.env.wasm.numThreads = 1; // more need headers that a file cannot have
  ort.env.wasm.wasmBinary = await unpacked("runtime-wasm");
  const session = await ort.InferenceSession.create(await unpacked("model"), { executionProviders: ["wasm"] });
  return async (latents, labels) => {
    const z = new Float32Array(latents.length * about.z_dim);
    latents.forEach((each, i) => z.set(each, i * about.z_dim));
    const inputs = { z: new ort.Tensor("float32", z, [latents.length, about.z_dim]) };
    if (classes.length) {
      const y = new Float32Array(latents.length * classes.length);
      labels.forEach((label, i) => (y[i * classes.length + label] = 1));
      inputs.y = new ort.Tensor("float32", y, [latents.length, classes.length]);
    }
    return (await session.run(inputs)).images.data;
  };
}

/** Image `i` of a batch. */
function pixels(images, i) {
  const image = new ImageData(width, height);
  for (let p = 0, at = i * height * width * channels; p < height * width; p++, at += channels) {
    for (let c = 0; c < 3; c++) image.data[4 * p + c] = 255 * images[at + (channels === 1 ? 0 : c)];
    image.data[4 * p + 3] = 255;
  }
  return image;
}

// --- What is shown ---

const chosen = new Set(classes.length > MANY ? [0] : []); // empty: all classes
let tiles = []; // a canvas per image: {canvas, label, index}
let layout = ""; // what the tiles were made for
let generate = null;
let drawing = 0; // number of the last drawing; an earlier one stops

function rows() {
  if (!classes.length) return [0];
  return chosen.size ? [...chosen].sort((a, b) => a - b) : classes.map((_, k) => k);
}

function numberOf(input) {
  const value = Math.round(Number(input.value));
  return Math.min(Math.max(value || 0, Number(input.min)), Number(input.max));
}

function truncation() {
  const slider = element("truncation");
  return slider.value === slider.max ? Infinity : Number(slider.value);
}

/** Makes an empty tile for each image, unless there already is one. */
function arrange() {
  const shown = rows(), count = numberOf(element("count"));
  if (layout === `${shown} ${count}`) return;
  layout = `${shown} ${count}`;
  const scale = Math.max(1, Math.ceil(TILE / width));
  tiles = [];
  element("images").replaceChildren(...shown.map((label) => {
    const section = document.createElement("section"), row = document.createElement("div");
    row.className = "tiles";
    if (classes.length) {
      const heading = document.createElement("h2");
      heading.textContent = classes[label];
      section.append(heading);
    }
    section.classList.toggle("alone", shown.length === 1);
    for (let index = 0; index < count; index++) {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [width, height];
      canvas.style.width = `${width * scale}px`;
      canvas.classList.toggle("crisp", scale > 1);
      canvas.setAttribute("role", "img");
      row.append(canvas);
      tiles.push({ canvas, label, index });
    }
    section.append(row);
    return section;
  }));
}

/** Draws all images. A later call stops an earlier one. */
async function drawAll() {
  const mine = ++drawing, seed = numberOf(element("seed")), threshold = truncation();
  arrange();
  document.body.dataset.state = "drawing";
  const begin = performance.now();
  for (let start = 0, size = 1; start < tiles.length; ) {
    const part = tiles.slice(start, start + size), before = performance.now();
    const images = await generate(part.map((tile) => latent(seed, tile.index, threshold)), part.map((tile) => tile.label));
    if (mine !== drawing) return;
    part.forEach(({ canvas, label, index }, i) => {
      canvas.getContext("2d").putImageData(pixels(images, i), 0, 0);
      canvas.setAttribute("aria-label", `${classes.length ? `${classes[label]}, ` : ""}seed ${seed}, image ${index}`);
    });
    start += part.length;
    element("status").textContent = `${start.toLocaleString("en")} of ${tiles.length.toLocaleString("en")} images`;
    const each = (performance.now() - before) / part.length;
    size = Math.max(1, Math.min(MAX_BATCH, Math.floor(BATCH_MS / each)));
    await pause();
    if (mine !== drawing) return;
  }
  const seconds = (performance.now() - begin) / 1000;
  element("status").textContent = `${tiles.length.toLocaleString("en")} images in ${seconds.toFixed(1)} s`;
  document.body.dataset.state = "ready";
  element("save").disabled = false;
}

function draw() {
  return generate && drawAll().catch(fail);
}

function fail(error) {
  document.body.dataset.state = "failed";
  element("status").textContent = `This browser cannot run the generator (${error.message}).`;
}

/** Saves the images at their own size: a row per class, or about a square of images of one class. */
function save() {
  const shown = rows().length, count = tiles.length / shown;
  const columns = shown > 1 ? count : Math.ceil(Math.sqrt(count));
  const sheet = document.createElement("canvas");
  sheet.width = columns * width;
  sheet.height = Math.ceil(tiles.length / columns) * height;
  const context = sheet.getContext("2d");
  tiles.forEach(({ canvas }, i) => context.drawImage(canvas, (i % columns) * width, Math.floor(i / columns) * height));
  sheet.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `samples-seed-${numberOf(element("seed"))}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}

function showChips() {
  const chips = element("chips").children;
  for (const chip of chips) {
    const label = chip.dataset.label === undefined ? null : Number(chip.dataset.label);
    chip.setAttribute("aria-pressed", label === null ? chosen.size === 0 : chosen.has(label));
  }
}

function addChip(text, label) {
  const chip = document.createElement("button");
  chip.type = "button";
  chip.textContent = text;
  if (label !== null) chip.dataset.label = label;
  chip.addEventListener("click", () => {
    if (label === null) chosen.clear();
    else if (!chosen.delete(label)) chosen.add(label);
    if (!chosen.size && classes.length > MANY) chosen.add(label);
    showChips();
    draw();
  });
  element("chips").append(chip);
}

function showThreshold() {
  element("threshold").textContent = truncation() === Infinity ? "none" : truncation().toFixed(1);
}

function prepareControls() {
  element("count").value = classes.length ? PER_CLASS : UNCONDITIONAL;
  element("count-label").textContent = classes.length ? "Per class" : "Images";
  element("classes").hidden = !classes.length;
  element("filter").hidden = classes.length <= MANY;
  if (classes.length > 1 && classes.length <= MANY) addChip("All", null);
  classes.forEach(addChip);
  showChips();
  element("filter").addEventListener("input", (event) => {
    const wanted = event.target.value.toLowerCase();
    for (const chip of element("chips").children) chip.hidden = !chip.textContent.toLowerCase().includes(wanted);
  });
  element("truncation-row").hidden = about.prior.name !== "normal";
  showThreshold();
  element("truncation").addEventListener("input", () => {
    showThreshold();
    draw();
  });
  for (const id of ["seed", "count"]) {
    element(id).addEventListener("change", (event) => {
      event.target.value = numberOf(event.target);
      draw();
    });
  }
  element("controls").addEventListener("submit", (event) => event.preventDefault());
  element("resample").addEventListener("click", () => {
    element("seed").value = (numberOf(element("seed")) + 1) % 2 ** 32;
    draw();
  });
  element("save").addEventListener("click", save);
}

prepareControls();
arrange();
openGenerator()
  .then((opened) => {
    generate = opened;
    element("resample").disabled = false;
    return draw();
  })
  .catch(fail);
