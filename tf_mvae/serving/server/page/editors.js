// One editor a modality: a drawing pad, a choice of classes, numbers, or a text of numbers.
import { filled, isImage, paint } from "./pictures.js";

export function makeEditor(name, part, changed, complain) {
  const element = document.createElement("fieldset");
  element.className = "part";
  element.dataset.name = name;
  element.innerHTML = `<legend><label class="name"><input type="checkbox"><span></span>
    <small class="kind"></small></label></legend><div class="editor"></div>`;
  element.querySelector(".name span").textContent = name;
  element.querySelector(".kind").textContent = part.shape.length
    ? `${part.shape.join(" × ")}`
    : part.class_names
      ? `${part.class_names.length} classes`
      : "a number";
  const box = element.querySelector("input");
  box.setAttribute("aria-label", `${name} is given`);
  const give = (on) => {
    box.checked = on;
    element.classList.toggle("on", on);
    changed();
  };
  box.addEventListener("change", () => give(box.checked));
  const kind = part.class_names && !part.shape.length ? classes : isImage(part) ? pad : numbers;
  const inner = kind(element.querySelector(".editor"), name, part, () => give(true), give, complain);
  return {
    element,
    given: () => box.checked,
    value: () => (box.checked ? inner.value() : filled(part.shape, 0)),
    take: (value) => {
      inner.take(value);
      give(true);
    },
  };
}

function classes(place, name, part, edited) {
  const many = part.class_names.length > 24;
  const list = document.createElement(many ? "select" : "div");
  list.className = many ? "" : "classes";
  list.setAttribute("aria-label", name);
  if (!many) list.setAttribute("role", "radiogroup");
  part.class_names.forEach((label, index) => {
    const option = document.createElement(many ? "option" : "label");
    if (many) {
      option.value = index;
      option.textContent = label;
    } else {
      const input = document.createElement("input");
      Object.assign(input, { type: "radio", name: `class-${name}`, value: index });
      input.addEventListener("click", edited); // also where it is chosen already
      input.addEventListener("change", edited);
      const said = document.createElement("span");
      said.textContent = label;
      option.append(input, said);
    }
    list.append(option);
  });
  if (many) list.addEventListener("change", edited);
  place.append(list);
  const chosen = () => (many ? list.value : (list.querySelector(":checked")?.value ?? 0));
  return {
    value: () => Number(chosen()),
    take: (shares) => {
      const best = String(shares.indexOf(Math.max(...shares)));
      if (many) list.value = best;
      else list.querySelector(`[value="${best}"]`).checked = true;
    },
  };
}

function numbers(place, name, part, edited, _, complain) {
  const count = part.shape.reduce((a, b) => a * b, 1);
  if (part.shape.length < 2 && count <= 24) {
    const fields = Array.from({ length: count }, (_, index) => {
      const input = document.createElement("input");
      Object.assign(input, { type: "number", step: "any", value: 0 });
      input.setAttribute("aria-label", count > 1 ? `${name}, number ${index + 1}` : name);
      input.addEventListener("input", edited);
      return input;
    });
    place.classList.add("numbers");
    place.append(...fields);
    const read = () => fields.map((field) => Number(field.value) || 0);
    return {
      value: () => (part.shape.length ? read() : read()[0]),
      take: (value) => [value].flat().forEach((n, i) => (fields[i].value = Number(n.toFixed(4)))),
    };
  }
  const text = document.createElement("textarea");
  text.setAttribute("aria-label", `${name}: ${count} numbers`);
  text.placeholder = `${count} numbers, with spaces or commas between`;
  text.addEventListener("input", edited);
  place.append(text);
  return {
    value: () => {
      const given = text.value.split(/[\s,;[\]]+/).filter(Boolean).map(Number);
      if (given.length !== count || given.some(Number.isNaN)) {
        const error = new Error(`${name} takes ${count} numbers; ${given.length} are there.`);
        complain(error.message);
        throw error;
      }
      return nest(given, part.shape);
    },
    take: (value) => (text.value = [value].flat(Infinity).map((n) => +n.toFixed(4)).join(" ")),
  };
}

function pad(place, name, part, edited, give, complain) {
  const [height, width, channels = 1] = part.shape;
  const scale = Math.max(1, Math.round(280 / Math.max(height, width)));
  place.innerHTML = `<div class="drawing"><div class="pad"><canvas tabindex="0"></canvas>
      <div class="invite"><span>Draw here,<br>or drop an image file</span></div></div>
    <p class="seen"><canvas></canvas>what the model sees</p></div>
    <div class="tools"><button type="button">Clear</button><button type="button">Invert</button>
      <button type="button" aria-pressed="false">Erase</button>
      <label class="file">Open file<input type="file" accept="image/*"></label>
      <label hidden><input type="checkbox">Centre</label></div>`;
  const [canvas, seen] = place.querySelectorAll("canvas");
  const [clear, invert, eraser] = place.querySelectorAll("button");
  const [file, fit] = place.querySelectorAll("input");
  const holder = place.querySelector(".pad");
  const invite = place.querySelector(".invite");
  place.style.setProperty("--aspect", `${width} / ${height}`);
  Object.assign(canvas, { width: width * scale, height: height * scale });
  Object.assign(seen, { width, height });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${name}: draw with a pointer, or open or drop an image file`);
  seen.setAttribute("aria-label", `${name} as the model sees it`);
  seen.setAttribute("role", "img");
  const ink = canvas.getContext("2d", { willReadFrequently: true });
  let last = null;
  let fixed = null; // a generated value that was taken over as it is
  // Written digits (MNIST and its kin) fill 20 of 28 pixels, their centre of mass in the middle.
  fit.closest("label").hidden = !(height === 28 && width === 28 && channels === 1);
  fit.checked = !fit.closest("label").hidden;

  const wipe = () => {
    ink.fillStyle = "#000";
    ink.fillRect(0, 0, canvas.width, canvas.height);
    fixed = null;
  };
  const show = () => {
    paint(seen, read(), part);
    edited();
  };
  const dirty = () => {
    invite.hidden = true;
    fixed = null;
    show();
  };
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [
      ((event.clientX - box.left) * canvas.width) / box.width,
      ((event.clientY - box.top) * canvas.height) / box.height,
    ];
  };
  const erases = () => eraser.getAttribute("aria-pressed") === "true";
  eraser.addEventListener("click", () => eraser.setAttribute("aria-pressed", !erases()));
  const line = (from, to) => {
    ink.strokeStyle = erases() ? "#000" : "#fff";
    ink.lineWidth = canvas.width / (erases() ? 8 : 13);
    ink.lineCap = ink.lineJoin = "round";
    ink.beginPath();
    ink.moveTo(...from);
    ink.lineTo(...to);
    ink.stroke();
  };
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    if (fixed && !erases()) wipe();
    last = at(event);
    line(last, last);
    dirty();
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    for (const part of event.getCoalescedEvents?.() ?? [event]) {
      const next = at(part);
      line(last, next);
      last = next;
    }
    dirty();
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (last = null));
  clear.addEventListener("click", () => {
    wipe();
    invite.hidden = false;
    paint(seen, read(), part);
    give(false);
  });
  invert.addEventListener("click", () => {
    const data = ink.getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < data.data.length; i++) if (i % 4 < 3) data.data[i] = 255 - data.data[i];
    ink.putImageData(data, 0, 0);
    dirty();
  });
  fit.addEventListener("change", show);
  const open = async (blob) => {
    try {
      const picture = await createImageBitmap(blob);
      wipe();
      const ratio = Math.min(canvas.width / picture.width, canvas.height / picture.height);
      const [w, h] = [picture.width * ratio, picture.height * ratio];
      ink.imageSmoothingQuality = "high";
      ink.drawImage(picture, (canvas.width - w) / 2, (canvas.height - h) / 2, w, h);
      dirty();
    } catch {
      complain(`${blob.name ?? "That"} is not an image that this browser reads.`);
    }
  };
  file.addEventListener("change", () => file.files.length && open(file.files[0]));
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    holder.addEventListener(kind, (event) => {
      event.preventDefault();
      holder.classList.toggle("over", kind.startsWith("drage") || kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files.length) open(event.dataTransfer.files[0]);
    });
  }

  // The pad shrunk to the model's pixels by averaging, as numbers in [0, 1].
  function read() {
    if (fixed) return fixed;
    const source = fit.checked ? centred(ink, canvas, scale) : canvas;
    const big = source.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    const value = [];
    for (let y = 0; y < height; y++) {
      const row = [];
      for (let x = 0; x < width; x++) {
        const sum = [0, 0, 0];
        for (let dy = 0; dy < scale; dy++)
          for (let dx = 0; dx < scale; dx++) {
            const i = 4 * ((y * scale + dy) * canvas.width + x * scale + dx);
            for (let c = 0; c < 3; c++) sum[c] += big[i + c];
          }
        const rgb = sum.map((s) => s / (255 * scale * scale));
        const grey = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
        const pixel = (channels === 3 ? rgb : [grey]).map((v) => Number(v.toFixed(3)));
        row.push(part.shape.length === 2 ? pixel[0] : pixel);
      }
      value.push(row);
    }
    return value;
  }

  wipe();
  paint(seen, read(), part);
  return {
    value: read,
    take: (value) => {
      wipe();
      fixed = value;
      const small = document.createElement("canvas");
      Object.assign(small, { width, height });
      paint(small, value, part);
      ink.imageSmoothingEnabled = true;
      ink.drawImage(small, 0, 0, canvas.width, canvas.height);
      invite.hidden = true;
      paint(seen, value, part);
    },
  };
}

// What was drawn, scaled to 20/28 of the pad, its centre of mass in the middle.
function centred(ink, canvas, scale) {
  const { width, height } = canvas;
  const data = ink.getImageData(0, 0, width, height).data;
  let [left, top, right, bottom, mass, mx, my] = [width, height, 0, 0, 0, 0, 0];
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const v = data[4 * (y * width + x)];
      if (v < 40) continue;
      [left, right] = [Math.min(left, x), Math.max(right, x)];
      [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
      mass += v;
      mx += v * x;
      my += v * y;
    }
  if (!mass) return canvas;
  const ratio = (20 * scale) / Math.max(right - left, bottom - top, scale * 3);
  const moved = document.createElement("canvas");
  Object.assign(moved, { width, height });
  const pen = moved.getContext("2d", { willReadFrequently: true });
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, width, height);
  pen.imageSmoothingQuality = "high";
  pen.setTransform(ratio, 0, 0, ratio, width / 2 - (ratio * mx) / mass, height / 2 - (ratio * my) / mass);
  pen.drawImage(canvas, 0, 0);
  return moved;
}

function nest(flat, shape) {
  if (shape.length < 2) return shape.length ? flat : flat[0];
  const size = flat.length / shape[0];
  return Array.from({ length: shape[0] }, (_, i) =>
    nest(flat.slice(i * size, (i + 1) * size), shape.slice(1)),
  );
}
