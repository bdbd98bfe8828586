// The page: a question, its trail, and what the server finds.

import { draw, make, thumbnail, walk } from "/results.js";

const $ = (id) => document.getElementById(id);
const TYPING = 250;
const SLIDING = 60;
const PAGE = 60;

let about = null;
let steps = [{ text: "" }]; // each: a text, and perhaps an entry or a file
let now = 0;
let start = 0;
let asking = null;
let waiting = 0;

const step = () => steps[now];
const referred = (one) => Boolean(one.entry || one.file);
const address = (one) => (one.entry ? thumbnail(one.entry) : one.url);

// --- the question ----------------------------------------------------------------------------

function question() {
  const form = new FormData();
  const one = step();
  if (one.file) form.append("picture", one.file);
  if (one.entry) form.append("entry", one.entry);
  if (one.text) form.append("text", one.text);
  form.append("k", $("k").value);
  form.append("strength", 0);
  if (about.patch) form.append("strength", $("strength").value);
  for (const box of document.querySelectorAll("[name=rivals]:checked")) form.append("rivals", box.value);
  return form;
}

async function answer(where, options) {
  let response;
  try {
    response = await fetch(where, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is it still running?");
  }
  const said = await response.json().catch(() => ({ error: `The server says ${response.status}.` }));
  if (!response.ok) throw new Error(said.error);
  return said;
}

function ask(after = 0) {
  clearTimeout(waiting);
  asking?.abort();
  asking = null;
  $("columns").setAttribute("aria-busy", "true");
  waiting = setTimeout(asked, after);
}

async function asked() {
  const mine = (asking = new AbortController());
  const one = step();
  const begun = performance.now();
  try {
    if (!referred(one) && !one.text.trim()) await browse(mine.signal);
    else show(await answer("/api/search", { method: "POST", body: question(), signal: mine.signal }), begun);
    complain("");
  } catch (error) {
    if (error.name === "AbortError") return;
    complain(error.message);
  }
  if (mine === asking) $("columns").setAttribute("aria-busy", "false");
}

// --- what is shown ---------------------------------------------------------------------------

function show(found, begun) {
  const composed = found.kind === "composed";
  const columns = found.columns.map((column) => ({ ...column, title: title(column), compared: composed }));
  if (composed && about.patch && $("strength").value === "0") columns.splice(1, 0, { ...columns[0], title: "Strength 0" });
  $("pager").hidden = true;
  draw($("columns"), columns, follow);
  showPrompt(found);
  const count = columns[0].hits.length;
  const each = columns.length > 1 ? " in each column" : "";
  const more = composed ? "" : found.kind === "text" ? ". Add a picture to ask for changes." : ". Say what should be different.";
  $("status").textContent = `${count} ${count === 1 ? "result" : "results"}${each}, ${Math.round(performance.now() - begun)} ms${more}`;
}

function title(column) {
  const names = { base: "Base", patched: "Patched", text: "By text alone", picture: "Like this picture", slerp: "Slerp", sum: "Sum" };
  return names[column.name] ?? column.name.replace("strength", "Strength");
}

/** The prompt, the reference picture in the place of the pseudo token. */
function showPrompt(found) {
  $("asked").hidden = !found.prompt;
  if (!found.placeholder) return $("prompt").replaceChildren(found.prompt);
  const parts = found.prompt.split(found.placeholder).flatMap((part, place) => (place ? [token(found), part] : [part]));
  $("prompt").replaceChildren(...parts);
}

function token(found) {
  const image = make("img", { src: address(step()), alt: "" });
  return make("span", { className: "token", title: "The picture's pseudo token stands here" }, image, found.placeholder);
}

async function browse(signal) {
  const page = await answer(`/api/entries?start=${start}&count=${PAGE}`, { signal });
  draw($("columns"), [{ title: "All pictures", about: "", hits: page.entries }], follow);
  $("asked").hidden = true;
  const last = start + page.entries.length;
  $("status").textContent = "Choose a picture, describe one, or do both.";
  $("pager").hidden = page.pictures <= PAGE;
  $("place").max = page.pictures;
  $("place").value = start + 1;
  $("place-of").textContent = `to ${last.toLocaleString()} of ${page.pictures.toLocaleString()}`;
  $("before").disabled = start === 0;
  $("after").disabled = last >= page.pictures;
}

function turn(to) {
  start = Math.max(0, Math.min(to, about.pictures - 1));
  ask();
}

function complain(words) {
  $("problem").hidden = !words;
  $("problem").textContent = words;
}

// --- the trail -------------------------------------------------------------------------------

/** Go on to a new step; what lay ahead of this one is gone. */
function go(next) {
  steps = [...steps.slice(0, now + 1), next];
  now += 1;
  history.pushState({ now }, "", hash(next));
  showStep();
  ask();
}

function follow(id) {
  go({ entry: id, text: "" });
  $("text").focus();
  scrollTo({ top: 0 });
}

function showStep() {
  const one = step();
  const shown = referred(one);
  $("picked").replaceChildren(...(shown ? [make("img", { src: address(one), alt: `Reference: ${named(one)}` })] : []));
  $("drop").classList.toggle("has-picture", shown);
  $("remove").hidden = !shown;
  $("text").value = one.text;
  $("text-label").textContent = shown ? "What should be different?" : "Describe a picture";
  $("text").placeholder = shown ? "is red instead" : "two red stars";
  showTrail();
  showUse();
}

/** Only what is composed has a strength, and rivals. */
function showUse() {
  const composed = referred(step()) && step().text.trim() !== "";
  for (const id of ["strength-field", "rivals-field"]) $(id).classList.toggle("idle", !composed);
}

const named = (one) => one.entry || one.file?.name || "a picture";

function showTrail() {
  $("trail").hidden = steps.length < 2;
  $("back").disabled = now === 0;
  $("steps").replaceChildren(...steps.map((one, place) => {
    const image = referred(one) ? [make("img", { src: address(one), alt: "" })] : [];
    const words = one.text || (referred(one) ? "like this" : "start");
    const button = make("button", { type: "button", className: "step" }, ...image, make("span", { textContent: words }));
    button.setAttribute("aria-label", `Step ${place + 1}: ${referred(one) ? `${named(one)}, ` : ""}${words}`);
    if (place === now) button.setAttribute("aria-current", "step");
    button.addEventListener("click", () => place !== now && history.go(place - now));
    return make("li", {}, button);
  }));
}

function hash(one) {
  const parts = new URLSearchParams();
  if (one.entry) parts.set("entry", one.entry);
  if (one.text) parts.set("text", one.text);
  return `${location.pathname}${[...parts].length ? `#${parts}` : ""}`;
}

addEventListener("popstate", (event) => {
  now = Math.min(event.state?.now ?? 0, steps.length - 1);
  showStep();
  ask();
});

// --- what the user does ----------------------------------------------------------------------

function take(file) {
  if (!file) return;
  if (!file.type.startsWith("image/")) return complain(`${file.name || "That"} is no picture.`);
  if (file.size > about.most_bytes) return complain(`${file.name} has more than ${about.most_bytes >> 20} MB. Choose a smaller picture.`);
  go({ file, url: URL.createObjectURL(file), text: step().text });
  $("text").focus();
}

function wire() {
  $("pick").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => {
    take($("file").files[0]);
    $("file").value = "";
  });
  $("remove").addEventListener("click", () => {
    go({ text: step().text });
    $("pick").focus();
  });
  $("text").addEventListener("input", () => {
    step().text = $("text").value;
    history.replaceState({ now }, "", hash(step()));
    showTrail();
    showUse();
    start = 0;
    ask(TYPING);
  });
  $("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    ask();
  });
  $("strength").addEventListener("input", () => {
    showStrength();
    if (referred(step()) && step().text.trim()) ask(SLIDING);
  });
  $("ask").addEventListener("change", (event) => event.target.matches("select, [type=checkbox]") && ask());
  $("back").addEventListener("click", () => history.back());
  $("before").addEventListener("click", () => turn(start - PAGE));
  $("after").addEventListener("click", () => turn(start + PAGE));
  $("place").addEventListener("change", () => turn(Number($("place").value) - 1 || 0));
  addEventListener("paste", (event) => take(event.clipboardData.files[0]));
  addEventListener("dragover", (event) => {
    event.preventDefault();
    $("drop").classList.add("over");
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? $("drop").classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    $("drop").classList.remove("over");
    const id = event.dataTransfer.getData("text/x-rtd-entry");
    if (id) follow(id);
    else take(event.dataTransfer.files[0]);
  });
  walk($("columns"));
}

function showStrength() {
  const value = Number($("strength").value).toFixed(2);
  $("strength-shown").textContent = value;
  $("strength").setAttribute("aria-valuetext", `${value}, ${value === "0.00" ? "base" : value === "1.00" ? "patched" : "in between"}`);
}

function introduce() {
  const facts = [
    [about.pictures.toLocaleString(), about.pictures === 1 ? "picture" : "pictures"],
    [about.backbone, "backbone"],
    ...(about.method ? [[about.method, "method"]] : []),
    ...(about.patch ? [["patched", ""]] : []),
  ];
  $("about").replaceChildren(...facts.map(([value, what]) => make("li", {}, make("b", { textContent: value }), ` ${what}`)));
  if (about.patch) $("about").lastChild.title = about.patch.title;
  $("about").firstChild.title = about.source;
  $("strength-field").hidden = !about.patch;
  $("rivals-field").hidden = !about.method;
  $("strength").value = about.patch?.strength ?? 0;
  $("note").hidden = !about.note;
  const pieces = about.note.split("`").map((part, place) => (place % 2 ? make("code", { textContent: part }) : part));
  $("note").replaceChildren(...pieces);
  showStrength();
}

async function begin() {
  try {
    about = await answer("/api/about");
  } catch (error) {
    return complain(error.message);
  }
  const given = new URLSearchParams(location.hash.slice(1));
  steps = [{ text: given.get("text") ?? "", ...(given.get("entry") ? { entry: given.get("entry") } : {}) }];
  history.replaceState({ now: 0 }, "");
  introduce();
  wire();
  showStep();
  ask();
}

begin();
