"use strict";
// The network of common/models/mlp.py with one hidden layer, and Keras's SGD with
// momentum, in float64. An image is kept as its ink and what whitening makes of the
// rest: five pixels in six are paper, so that products over the ink alone are enough.

const PIXELS = 784, CLASSES = 10;
const LEARNING_RATE = 0.05, MOMENTUM = 0.9, BATCH = 50, MOST_EPOCHS = 150;

// Whitens an image (28 x 28 integers up to 255) as common/pipelines.py does:
// value = ink[k] at the pixels where[k], plus `shift` at all.
function whitened(image) {
  let sum = 0, squares = 0;
  for (const p of image) {
    sum += p / 255;
    squares += (p / 255) ** 2;
  }
  const mean = sum / PIXELS;
  const std = Math.max(Math.sqrt(squares / PIXELS - mean * mean), 1 / 28);
  const where = [], ink = [];
  image.forEach((p, i) => {
    if (p) {
      where.push(i);
      ink.push(p / 255 / std);
    }
  });
  return { where: Int32Array.from(where), ink: Float64Array.from(ink), shift: -mean / std };
}

class Network {
  // weights: [kernel (784 x width), bias, kernel (width x 10), bias], each flat.
  constructor(weights) {
    this.weights = weights.map((w) => Float64Array.from(w));
    this.velocities = weights.map((w) => new Float64Array(w.length));
    this.gradients = weights.map((w) => new Float64Array(w.length));
    this.width = weights[1].length;
    this.hidden = new Float64Array(this.width);
    this.back = new Float64Array(this.width);
    this.logits = new Float64Array(CLASSES);
    this.sums = new Float64Array(this.width); // over pixels, of the first kernel
    this.sumUp();
  }

  sumUp() {
    const { width, sums } = this, kernel = this.weights[0];
    sums.fill(0);
    for (let i = 0; i < PIXELS; i++) {
      for (let j = 0; j < width; j++) sums[j] += kernel[i * width + j];
    }
  }

  // Returns cross-entropy (nats) and predicted class; leaves hidden units and logits.
  forward({ where, ink, shift }, label) {
    const { width, hidden, logits, sums } = this;
    const [kernel, bias, last, lastBias] = this.weights;
    for (let j = 0; j < width; j++) hidden[j] = bias[j] + shift * sums[j];
    for (let k = 0; k < where.length; k++) {
      const value = ink[k], row = where[k] * width;
      for (let j = 0; j < width; j++) hidden[j] += value * kernel[row + j];
    }
    logits.set(lastBias);
    for (let j = 0; j < width; j++) {
      if (hidden[j] <= 0) hidden[j] = 0;
      else for (let c = 0; c < CLASSES; c++) logits[c] += hidden[j] * last[j * CLASSES + c];
    }
    const predicted = logits.indexOf(Math.max(...logits));
    let total = 0;
    for (const z of logits) total += Math.exp(z - logits[predicted]);
    return { loss: Math.log(total) + logits[predicted] - logits[label], predicted, total };
  }

  // One step of SGD on the mean loss of a batch, (decay / 2) |kernels|^2 added.
  step(images, labels, batch, decay) {
    const { width, hidden, back, logits, weights, gradients, velocities } = this;
    const [first, bias, second, lastBias] = gradients, last = weights[2];
    for (const g of gradients) g.fill(0);
    const everywhere = new Float64Array(width); // what the shifts add to each pixel
    for (const n of batch) {
      const { where, ink, shift } = images[n];
      const { total, predicted } = this.forward(images[n], labels[n]);
      const top = logits[predicted];
      back.fill(0);
      for (let c = 0; c < CLASSES; c++) {
        const wrong = c === labels[n] ? 1 : 0;
        const delta = (Math.exp(logits[c] - top) / total - wrong) / batch.length;
        lastBias[c] += delta;
        for (let j = 0; j < width; j++) {
          if (hidden[j] > 0) {
            second[j * CLASSES + c] += delta * hidden[j];
            back[j] += delta * last[j * CLASSES + c];
          }
        }
      }
      for (let j = 0; j < width; j++) {
        bias[j] += back[j];
        everywhere[j] += shift * back[j];
      }
      for (let k = 0; k < where.length; k++) {
        const value = ink[k], row = where[k] * width;
        for (let j = 0; j < width; j++) first[row + j] += value * back[j];
      }
    }
    for (let i = 0; i < first.length; i += width) {
      for (let j = 0; j < width; j++) first[i + j] += everywhere[j];
    }
    weights.forEach((w, part) => {
      const g = gradients[part], v = velocities[part], shrink = part % 2 ? 0 : decay;
      for (let i = 0; i < w.length; i++) {
        v[i] = MOMENTUM * v[i] - LEARNING_RATE * (g[i] + shrink * w[i]);
        w[i] += v[i];
      }
    });
    this.sumUp();
  }

  // Returns the mean loss, the accuracy and every prediction.
  measure(images, labels) {
    let loss = 0, right = 0;
    const predictions = labels.map((label, n) => {
      const found = this.forward(images[n], label);
      loss += found.loss / labels.length;
      right += found.predicted === label;
      return found.predicted;
    });
    return { loss, accuracy: right / labels.length, predictions };
  }
}

// A stream of numbers in [0, 1): mulberry32.
function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

// Keras's: uniform with variance 2 / (inputs + outputs) for kernels, 0 for biases.
function drawn(width, draw) {
  const kernel = (rows, columns) => {
    const limit = Math.sqrt(6 / (rows + columns));
    return Float64Array.from({ length: rows * columns }, () => limit * (2 * draw() - 1));
  };
  return [
    kernel(PIXELS, width), new Float64Array(width),
    kernel(width, CLASSES), new Float64Array(CLASSES),
  ];
}

function shuffled(size, draw) {
  const order = Array.from({ length: size }, (_, i) => i);
  for (let i = size - 1; i > 0; i--) {
    const j = Math.floor(draw() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

// A training in small pieces, so that the page stays at hand between them.
// order(epoch, size) gives the order of an epoch, counted from 0.
class Training {
  constructor({ weights, images, labels, test, testLabels, order, decay }) {
    Object.assign(this, { images, labels, test, testLabels, order, decay });
    this.network = new Network(weights);
    this.rows = []; // { loss, train, test } of each epoch
    this.place = 0;
    this.done = false;
  }

  // Trains on a batch, or measures when the epoch ends. Returns whether it did.
  advance() {
    const size = this.labels.length;
    if (this.place === 0) this.now = this.order(this.rows.length, size);
    if (this.place < size) {
      const batch = this.now.slice(this.place, this.place + BATCH);
      this.network.step(this.images, this.labels, batch, this.decay);
      this.place += BATCH;
      return false;
    }
    this.place = 0;
    const { loss, accuracy, predictions } = this.network.measure(this.images, this.labels);
    const test = this.network.measure(this.test, this.testLabels);
    this.predictions = predictions;
    this.rows.push({ loss, train: accuracy, test: test.accuracy, testLoss: test.loss });
    this.done = accuracy === 1 || this.rows.length >= MOST_EPOCHS;
    return true;
  }
}

// The page.

const $ = (selector) => document.querySelector(selector);
const WIDTHS = [4, 8, 16, 32, 64, 128, 256];
const DECAYS = [0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1];
const SHOWN = 36; // digits with their labels
const SLICE = 12; // milliseconds of arithmetic between two pictures
const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;
let train, test, runs, seed = 0, running = true;

// The digits of DIGITS: 500 to train on, as many to test on.
async function unpack() {
  const packed = Uint8Array.from(atob(DIGITS.pixels), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const pixels = new Uint8Array(await new Response(stream).arrayBuffer());
  const images = Array.from({ length: pixels.length / PIXELS }, (_, n) =>
    pixels.subarray(n * PIXELS, (n + 1) * PIXELS));
  const size = DIGITS.train.length, labels = (digits) => Array.from(digits, Number);
  train = { pixels: images.slice(0, size), labels: labels(DIGITS.train) };
  test = { pixels: images.slice(size), labels: labels(DIGITS.test) };
  for (const part of [train, test]) part.images = part.pixels.map(whitened);
}

// The labels that --label-corruption gives: at a level of 0 to 20 those below it.
function corrupted(level) {
  return train.labels.map((label, n) => {
    const replaced = DIGITS.levels.charCodeAt(n) - 97 < level;
    return replaced ? Number(DIGITS.drawn[n]) : label;
  });
}

function settings() {
  const value = (name) => Number($(`#${name}`).value);
  return {
    level: value("corruption"), width: WIDTHS[value("width")],
    decay: DECAYS[value("decay")], size: value("size"),
  };
}

// Begins both trainings anew: the same weights and order, other labels.
function begin() {
  const { level, width, decay, size } = settings();
  const weights = drawn(width, random(1000 + seed));
  const orders = [];
  const draw = random(2000 + seed);
  const order = (epoch) => (orders[epoch] ??= shuffled(size, draw));
  runs = [train.labels, corrupted(level)].map((labels) => new Training({
    weights, decay, order, images: train.images.slice(0, size),
    labels: labels.slice(0, size), test: test.images, testLabels: test.labels,
  }));
  const words = [`${5 * level} %`, width, decay || "none", size];
  ["corruption", "width", "decay", "size"].forEach((name, k) => {
    $(`#${name}`).setAttribute("aria-valuetext", words[k]);
    $(`output[for=${name}]`).value = words[k];
  });
  $("#given h2").textContent = level === 20 ? "Random labels" : level
    ? `${5 * level} % of the labels random` : "The same labels: nothing is corrupted";
  const command = "python cifar10_mlp.py --dataset mnist_5k" +
    ` --train-size ${size} --label-corruption ${level / 20} --hidden ${width}` +
    ` --wd ${decay} --lr ${LEARNING_RATE} --lr-decay 1 --batch-size ${BATCH}` +
    ` --epochs ${MOST_EPOCHS} --stop-at 1 --results-dir mine`;
  // A line ends between its words, not at the hyphens of a flag.
  $("#command").replaceChildren(...command.split(" ").flatMap((word) => {
    const whole = document.createElement("span");
    whole.textContent = word;
    return [whole, " "];
  }));
  showDigits();
  go(true);
}

function go(on) {
  running = on;
  $("#go").textContent = on ? "Pause" : "Go on";
  $("#go").disabled = false;
  if (on) $("#said").textContent = "Training …";
  show();
}

function showDigits() {
  const { labels } = runs[1], tiles = $("#digits");
  tiles.replaceChildren(...labels.slice(0, SHOWN).map((label, n) => {
    const tile = document.createElement("li"), canvas = document.createElement("canvas");
    canvas.width = canvas.height = 28;
    const image = new ImageData(28, 28);
    train.pixels[n].forEach((p, i) => (image.data[4 * i + 3] = p));
    canvas.getContext("2d").putImageData(image, 0, 0);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `a ${train.labels[n]}`);
    const given = document.createElement("span"), says = document.createElement("span");
    given.textContent = `given ${label}`;
    tile.append(canvas, given, says);
    if (label !== train.labels[n]) tile.className = "wrong";
    return tile;
  }));
}

function show() {
  const last = Math.max(10, ...runs.map((run) => run.rows.length));
  ["true", "given"].forEach((name, k) => {
    const { rows } = runs[k], card = $(`#${name}`), row = rows.at(-1);
    card.querySelector(".train").textContent = row ? percent(row.train) : "–";
    card.querySelector(".test").textContent = row ? percent(row.test) : "–";
    card.querySelector(".epoch").textContent = `epoch ${rows.length}`;
    for (const part of ["train", "test"]) {
      const points = rows.map((r, i) =>
        `${(46 + (i / (last - 1)) * 264).toFixed(1)},${(150 - 140 * r[part]).toFixed(1)}`);
      card.querySelector(`polyline.${part}`).setAttribute("points", points.join(" "));
    }
    card.querySelector(".last").textContent = last;
  });
  const { predictions, labels } = runs[1];
  [...$("#digits").children].forEach((tile, n) => {
    const right = predictions && predictions[n] === labels[n];
    tile.lastChild.textContent = predictions ? `says ${predictions[n]}${right ? " ✓" : ""}` : "";
    tile.classList.toggle("learned", Boolean(right));
  });
}

function finish() {
  const [right, given] = runs.map((run) => run.rows.at(-1));
  const { level, size } = settings();
  const what = level ? `${5 * level} % corruption` : "true labels";
  const fitted = given.train === 1
    ? `All ${size} labels are reproduced after ${runs[1].rows.length} epochs`
    : `After ${runs[1].rows.length} epochs ${percent(given.train)} of the labels are reproduced`;
  $("#said").textContent = `${fitted} (${what}). On 500 new digits this network is ` +
    `right in ${percent(given.test)} of cases, the one with true labels in ` +
    `${percent(right.test)}. Guessing gives 10\u00a0%.`;
  $("#go").disabled = true;
}

function work() {
  const until = performance.now() + SLICE;
  let news = false;
  while (running && performance.now() < until) {
    const open = runs.filter((run) => !run.done);
    if (!open.length) {
      running = false;
      finish();
      break;
    }
    const steps = (run) => run.rows.length * 1000 + run.place;
    open.sort((a, b) => steps(a) - steps(b));
    news = open[0].advance() || news;
  }
  if (news) show();
  requestAnimationFrame(work);
}

async function start() {
  await unpack();
  $("#settings").addEventListener("input", begin);
  $("#settings").addEventListener("submit", (event) => {
    event.preventDefault();
    seed++;
    begin();
  });
  $("#go").addEventListener("click", () => go(!running));
  begin();
  work();
}
const started = start();
