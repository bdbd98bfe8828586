// Columns of pictures: drawn, compared with the first one, walked through with the arrow keys.

const still = matchMedia("(prefers-reduced-motion: reduce)");

export const thumbnail = (id) => `/api/thumbnail?id=${encodeURIComponent(id)}`;

/** An element with classes, properties and children. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Draw columns into `root`; pictures that are there already move to their new places. */
export function draw(root, columns, follow) {
  const before = places(root);
  const kept = new Map([...root.children].map((one) => [one.dataset.column, one]));
  const first = columns[0];
  const ranks = new Map(first.hits.map((hit, place) => [hit.id, place]));
  const drawn = columns.map((column, number) => {
    const section = kept.get(String(number)) ?? emptyColumn(number);
    fill(section, column, number > 0 && column.compared ? ranks : null, follow);
    return section;
  });
  root.replaceChildren(...drawn);
  if (!still.matches) glide(root, before);
}

function emptyColumn(number) {
  const section = make("section", { className: "column" });
  section.dataset.column = number;
  section.append(make("h2"), make("p"), make("ol", { className: "hits" }));
  return section;
}

function fill(section, column, ranks, follow) {
  const [head, about, list] = section.children;
  const changed = ranks ? column.hits.filter((hit, place) => ranks.get(hit.id) !== place).length : 0;
  const words = ranks ? `${changed} of ${column.hits.length} places changed` : "";
  head.replaceChildren(column.title, make("span", { textContent: words }));
  about.textContent = column.about;
  about.hidden = !column.about;
  section.setAttribute("aria-label", column.title);
  const kept = new Map([...list.children].map((item) => [item.dataset.id, item]));
  const items = column.hits.map((hit, place) => {
    const item = kept.get(hit.id) ?? emptyItem(hit.id, follow);
    label(item, hit, place, ranks, column.title);
    return item;
  });
  const focused = list.contains(document.activeElement);
  list.replaceChildren(...items);
  if (items.length) rove(list, items[0].firstChild);
  if (focused && !list.contains(document.activeElement) && items.length) items[0].firstChild.focus();
}

function emptyItem(id, follow) {
  const image = make("img", { alt: "", loading: "lazy", decoding: "async", src: thumbnail(id) });
  const button = make(
    "button",
    { type: "button", className: "hit", draggable: true },
    image,
    make("span", { className: "line" }, make("b"), make("span")),
    make("span", { className: "line" }, make("span"), make("span", { className: "name", textContent: id, title: id })),
  );
  button.addEventListener("click", () => follow(id));
  button.addEventListener("dragstart", (event) => event.dataTransfer.setData("text/x-rtd-entry", id));
  const item = make("li", {}, button);
  item.dataset.id = id;
  return item;
}

function label(item, hit, place, ranks, title) {
  const button = item.firstChild;
  const [first, second] = button.querySelectorAll(".line");
  const [rank, change] = first.children;
  const [score] = second.children;
  const scored = hit.score !== undefined;
  first.hidden = score.hidden = !scored;
  rank.textContent = scored ? place + 1 : "";
  score.textContent = scored ? hit.score.toFixed(3) : "";
  const [sign, words] = ranks ? moved(ranks.get(hit.id), place) : ["", ""];
  change.textContent = sign;
  change.hidden = !sign;
  change.className = words.startsWith("down") ? "moved down" : "moved";
  const parts = scored ? [`${title}, place ${place + 1}`, `score ${hit.score.toFixed(3)}`, words] : [];
  button.setAttribute("aria-label", [hit.id, ...parts, "make it the reference"].filter(Boolean).join(", "));
}

/** How a place compares with that in the first column: a sign, and the same in words. */
function moved(from, to) {
  if (from === undefined) return ["new", "not among the first column's"];
  if (from > to) return [`▲${from - to}`, `up ${from - to}`];
  if (from < to) return [`▼${to - from}`, `down ${to - from}`];
  return ["", "same place"];
}

function places(root) {
  const found = new Map();
  for (const item of root.querySelectorAll("li")) {
    const box = item.getBoundingClientRect();
    found.set(item, [box.left, box.top]);
  }
  return found;
}

function glide(root, before) {
  for (const item of root.querySelectorAll("li")) {
    const from = before.get(item);
    const box = item.getBoundingClientRect();
    if (!from) item.animate([{ opacity: 0 }, { opacity: 1 }], 200);
    else if (from[0] !== box.left || from[1] !== box.top) {
      const shift = `translate(${from[0] - box.left}px, ${from[1] - box.top}px)`;
      item.animate([{ transform: shift }, { transform: "none" }], { duration: 220, easing: "ease-out" });
    }
  }
}

/** One stop of the Tab key in each list; arrows go on from there. */
function rove(list, chosen) {
  for (const button of list.querySelectorAll(".hit")) button.tabIndex = button === chosen ? 0 : -1;
}

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Let the arrow keys, Home and End move the focus among the pictures of all columns. */
export function walk(root) {
  root.addEventListener("focusin", (event) => {
    const hit = event.target.closest(".hit");
    if (hit) rove(hit.closest(".hits"), hit);
    mark(hit);
  });
  root.addEventListener("pointerover", (event) => mark(event.target.closest(".hit")));
  root.addEventListener("pointerleave", () => mark(null));
  root.addEventListener("keydown", (event) => {
    const hit = event.target.closest(".hit");
    if (!hit || event.altKey || event.ctrlKey || event.metaKey) return;
    const all = [...hit.closest(".hits").querySelectorAll(".hit")];
    const step = STEPS[event.key];
    const next = step ? nearest(hit, step) : { Home: all[0], End: all.at(-1) }[event.key];
    if (!next) return;
    event.preventDefault();
    next.focus();
  });

  /** Show where else the same picture stands. */
  function mark(hit) {
    const id = hit?.parentElement.dataset.id;
    for (const item of root.querySelectorAll("li")) item.classList.toggle("same", item.dataset.id === id);
  }

  function nearest(hit, [across, down]) {
    const here = middle(hit);
    let best = null;
    let least = Infinity;
    for (const other of root.querySelectorAll(".hit")) {
      const there = middle(other);
      const ahead = (there[0] - here[0]) * across + (there[1] - here[1]) * down;
      const aside = Math.abs(across ? there[1] - here[1] : there[0] - here[0]);
      if (other === hit || ahead < 4 || ahead + 3 * aside >= least) continue;
      [best, least] = [other, ahead + 3 * aside];
    }
    return best;
  }
}

function middle(element) {
  const box = element.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
}
