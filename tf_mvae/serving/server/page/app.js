// Asks the server for samples given what is filled in, and shows them. No library, no build.
import { makeEditor } from "./editors.js";
import { isImage, showAverages, showSamples } from "./pictures.js";
import { maskOf, takesOnly } from "./requests.js";

const $ = (id) => document.getElementById(id);
const editors = new Map();
let about = null; // what the server says of its model
let running = null; // the request in flight
let timer = 0;

const GONE =
  "The server does not answer. It may have been stopped, or the network is down; when it is " +
  "back, press “Draw again” or reload this page.";

// Fetches a path of the server with the token; fails with a message for the reader.
async function reach(path, options = {}) {
  const headers = { ...options.headers };
  const token = sessionStorage.getItem("token");
  if (token) headers.Authorization = `Bearer ${token}`;
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error(GONE);
  }
  if (answer.status === 401) {
    $("token-form").hidden = false;
    throw new Error(token ? "The server refused this token." : "");
  }
  return answer;
}

async function ask(path, options) {
  const answer = await reach(path, options);
  let text;
  try {
    text = await answer.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error(GONE); // it ended in the middle of its answer
  }
  // NaN and Infinity, which TensorFlow Serving writes as they are, have no place in JSON.
  const valid = text.replace(/(?<=[[,:\s])(-?Infinity|NaN)(?=[\],}\s])/g, "null");
  let body;
  try {
    body = JSON.parse(valid);
  } catch {
    throw new Error(`The answer cannot be read (status ${answer.status}). Is a proxy in between?`);
  }
  if (!answer.ok) throw new Error(body.error ?? answer.statusText);
  return body;
}

function complain(message) {
  $("problem").textContent = message;
  $("problem").hidden = !message;
}

async function start() {
  try {
    about = await ask("v1/page");
  } catch (error) {
    $("intro").textContent = "The model is not known yet.";
    complain(error.message);
    return;
  }
  complain("");
  $("token-form").hidden = true;
  $("model").textContent = `${about.model_name}, version ${about.version}`;
  document.title = `${about.model_name} · tf_mvae`;
  const parts = about.description.modalities ?? {};
  const names = Object.keys(parts);
  const inputs = about.signatures.generate?.inputs ?? {};
  if (!takesOnly(names, inputs)) {
    $("intro").textContent =
      `The server serves ${about.model_name}, version ${about.version}, with the signatures ` +
      `${Object.keys(about.signatures).join(", ")}.`;
    complain(
      "This page needs a SavedModel that `python -m tf_mvae.export` wrote, with a generate " +
        "signature that needs no conditions or covariates; for another, use the API (see the API " +
        "description below).",
    );
    return;
  }
  const said = names.join(names.length > 2 ? ", " : " and ");
  $("intro").textContent =
    `The model “${about.model_name}” learned ${said} together. Give any of them, and it draws the ` +
    "rest from what it learned, several guesses at a time.";
  $("given").replaceChildren();
  for (const name of names) {
    const editor = makeEditor(name, parts[name], changed, complain);
    editors.set(name, editor);
    $("given").append(editor.element);
  }
  $("count").max = Math.min(64, about.max_examples);
  $("samples-hint").hidden = !names.some((name) => isImage(parts[name]));
  $("main").hidden = false;
  changed();
}

function changed() {
  clearTimeout(timer);
  timer = setTimeout(generate, 80);
}

function request() {
  const inputs = {};
  for (const [name, editor] of editors) {
    inputs[name] = [editor.value()];
    inputs[`${name}_mask`] = [maskOf(about.description, name, editor.given())];
  }
  const within = (id) => Math.min(Math.max(Number($(id).value) || 0, $(id).min), $(id).max);
  inputs.num_samples = Math.round(within("count")) || 1;
  inputs.seed = [Math.floor(within("seed")), 0];
  inputs.temperature = within("temperature");
  return { signature_name: "generate", inputs };
}

async function generate() {
  running?.abort();
  const mine = (running = new AbortController());
  let body;
  try {
    body = request();
    const began = performance.now();
    const answer = await ask(`v1/models/${about.model_name}:predict`, {
      method: "POST",
      body: JSON.stringify(body),
      signal: mine.signal,
    });
    if (mine !== running) return;
    complain("");
    const parts = about.description.modalities;
    const given = [...editors].filter(([, editor]) => editor.given()).map(([name]) => name);
    showAverages($("averages"), parts, answer.outputs);
    showSamples($("samples"), parts, answer.outputs, (name, value) => editors.get(name).take(value));
    const milliseconds = Math.round(performance.now() - began);
    $("status").textContent =
      (given.length ? `Given ${given.join(" and ")}` : "Nothing given: from the prior") +
      `, in ${milliseconds} ms.`;
    $("request").textContent =
      `POST ${new URL(`v1/models/${about.model_name}:predict`, location.href).pathname}\n` +
      shorten(body);
  } catch (error) {
    if (error.name === "AbortError") return;
    clear();
    complain(error.message);
  }
}

// What is shown belongs to an earlier request.
function clear() {
  for (const id of ["averages", "samples"]) $(id).replaceChildren();
  for (const id of ["status", "request"]) $(id).textContent = "";
}

function shorten(body) {
  return JSON.stringify(
    body,
    (_, value) =>
      Array.isArray(value) && JSON.stringify(value).length > 400
        ? `… ${value.flat(Infinity).length} numbers, nested as the shape is …`
        : value,
    1,
  );
}

// A link cannot carry the token: what it leads to is fetched, and shown in its place.
for (const link of document.querySelectorAll("a[data-token]")) {
  link.addEventListener("click", async (event) => {
    if (!sessionStorage.getItem("token")) return;
    event.preventDefault();
    try {
      const answer = await reach(link.getAttribute("href"));
      location.assign(URL.createObjectURL(await answer.blob()));
    } catch (error) {
      complain(error.message);
    }
  });
}
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", $("token").value);
  start();
});
for (const id of ["count", "seed", "temperature"]) $(id).addEventListener("input", changed);
$("temperature").addEventListener("input", () => {
  $("temperature-value").textContent = Number($("temperature").value).toFixed(2);
});
$("again").addEventListener("click", () => {
  $("seed").value = Math.floor(Math.random() * 100000);
  changed();
});
start();
