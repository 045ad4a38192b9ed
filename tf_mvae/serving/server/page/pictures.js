// Values of modalities as pictures, bars and numbers.

// A matrix is drawn only if it may well be a picture: of this size, with values in [0, 1].
const SMALLEST_PICTURE = 16;

export const isImage = (part) => {
  const [height, width, channels] = part.shape;
  if (part.dtype && !part.dtype.startsWith("float")) return false;
  if (part.shape.length === 3) return part.is_image ?? [1, 3].includes(channels);
  return (
    part.shape.length === 2 &&
    Math.min(height, width) >= SMALLEST_PICTURE &&
    part.low === 0 &&
    part.high === 1
  );
};

const isClasses = (part) => Boolean(part.class_names) && !part.shape.length;

export const filled = (shape, value) =>
  shape.length ? Array.from({ length: shape[0] }, () => filled(shape.slice(1), value)) : value;

export function paint(canvas, value, part) {
  const [height, width, channels = 1] = part.shape;
  Object.assign(canvas, { width, height });
  const flat = value.flat(Infinity);
  const picture = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++)
      picture.data[4 * i + c] = 255 * flat[i * channels + (channels === 3 ? c : 0)];
    picture.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

// Outputs are [sample, batch, …]; the page asks for a batch of one.
const samplesOf = (output) => output.map((batch) => batch[0]);

function mean(values) {
  if (!Array.isArray(values[0])) return values.reduce((a, b) => a + b, 0) / values.length;
  return values[0].map((_, i) => mean(values.map((value) => value[i])));
}

export function showAverages(place, parts, outputs) {
  place.replaceChildren();
  for (const [name, part] of Object.entries(parts)) {
    const average = mean(samplesOf(outputs[name]));
    const block = document.createElement("div");
    block.className = "average";
    const title = document.createElement("h3");
    title.textContent = isImage(part) ? `${name}, mean` : name;
    block.append(title);
    if (isImage(part)) {
      const canvas = document.createElement("canvas");
      canvas.style.setProperty("--aspect", `${part.shape[1]} / ${part.shape[0]}`);
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `mean of the generated ${name}`);
      paint(canvas, average, part);
      block.append(canvas);
    } else if (isClasses(part)) {
      block.classList.add("wide");
      block.append(bars(average, part.class_names));
    } else {
      block.classList.add("wide");
      const said = document.createElement("p");
      said.className = "value";
      said.textContent = written(average);
      block.append(said);
    }
    place.append(block);
  }
}

function bars(shares, names) {
  const list = document.createElement("ol");
  list.className = "bars";
  list.tabIndex = 0;
  list.setAttribute("aria-label", "share of each class");
  const best = shares.indexOf(Math.max(...shares));
  shares.forEach((share, index) => {
    const item = document.createElement("li");
    item.classList.toggle("top", index === best);
    item.innerHTML = `<span></span><span class="track"><span class="fill"></span></span>
      <span class="share"></span>`;
    item.firstChild.textContent = names[index];
    const fill = item.querySelector(".fill");
    fill.style.display = "block";
    fill.style.width = `${100 * share}%`;
    item.querySelector(".share").textContent = `${(100 * share).toFixed(1)} %`;
    list.append(item);
  });
  return list;
}

const written = (value) => {
  const flat = [value].flat(Infinity);
  const said = flat.slice(0, 8).map((n) => (n === null ? "not a number" : n.toPrecision(3)));
  return said.join("  ") + (flat.length > 8 ? " …" : "");
};

export function showSamples(place, parts, outputs, take) {
  const names = Object.keys(parts);
  const values = Object.fromEntries(names.map((name) => [name, samplesOf(outputs[name])]));
  const count = values[names[0]].length;
  const items = [];
  for (let i = 0; i < count; i++) {
    const item = document.createElement("li");
    const said = names
      .filter((name) => !isImage(parts[name]))
      .map((name) => caption(parts[name], values[name][i]))
      .join(" · ");
    for (const name of names.filter((name) => isImage(parts[name]))) {
      const canvas = document.createElement("canvas");
      canvas.style.setProperty("--aspect", `${parts[name].shape[1]} / ${parts[name].shape[0]}`);
      paint(canvas, values[name][i], parts[name]);
      const button = document.createElement("button");
      button.type = "button";
      button.title = `Give this ${name}`;
      button.setAttribute("aria-label", `Sample ${i + 1}: ${said}. Give this ${name}`);
      button.append(canvas);
      button.addEventListener("click", () => take(name, values[name][i]));
      item.append(button);
    }
    const value = document.createElement("span");
    value.className = "value";
    value.textContent = said;
    item.append(value);
    items.push(item);
  }
  place.replaceChildren(...items);
}

function caption(part, value) {
  if (!isClasses(part)) return written(value);
  const best = value.indexOf(Math.max(...value));
  return `${part.class_names[best]} (${Math.round(100 * value[best])} %)`;
}
