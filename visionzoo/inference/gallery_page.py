"""The page of a gallery: controls, pages of small images, and a full-size view. ``entries.js`` has its entries."""

from __future__ import annotations

from collections.abc import Sequence

from visionzoo.reports.html_page import Html, element, joined, page

_STYLE = """
[hidden] { display: none !important; }
#controls { display: grid; gap: .5rem 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 9.5rem), 1fr));
  align-items: end; margin: 1rem 0; }
#controls label, #controls fieldset { display: grid; gap: .15rem; color: var(--soft); min-width: 0; }
#controls ::placeholder { color: var(--soft); opacity: 1; }
#controls fieldset { border: 0; margin: 0; padding: 0; }
#controls fieldset > div { display: grid; grid-template-columns: 1fr 1fr; gap: .5rem; }
#controls input, #controls select, button { font: inherit; color: var(--ink); background: var(--plate);
  border: 1px solid var(--soft); border-radius: .3rem; padding: .35rem .5rem; min-width: 0; width: 100%;
  min-height: 2.4rem; }
button { cursor: pointer; }
button:disabled { color: var(--soft); border-color: var(--line); cursor: default; }
.bar { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; margin: .75rem 0; }
.bar > button { width: auto; }
.bar > p { margin: 0; margin-right: auto; }
#tiles { list-style: none; margin: 0; padding: 0; display: grid; gap: .75rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 10.5rem), 1fr)); }
@media (min-width: 60rem) { #tiles { grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); } }
.tile { display: flex; flex-direction: column; width: 100%; height: 100%; background: var(--plate); color: var(--ink);
  border: 1px solid var(--line); border-radius: .4rem; padding: .4rem; text-align: left; text-decoration: none;
  overflow-wrap: anywhere; }
.tile img, .tile .none { width: 100%; height: 11rem; object-fit: contain; background: transparent; }
.tile .none { display: grid; place-items: center; border: 1px dashed var(--soft); color: var(--soft); }
.tile > :nth-child(2) { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 3; overflow: hidden; }
.tile .soft, .soft { color: var(--soft); font-size: .9rem; }
#view { width: 100vw; height: 100vh; max-width: none; max-height: none; border: 0; margin: 0; padding: 1rem;
  color: var(--ink); background: var(--back); overflow-y: auto; }
#view h2 { border: 0; margin: 0; margin-right: auto; overflow-wrap: anywhere; font-size: 1.1rem; }
#view .pair { display: grid; gap: 1rem; }
#view .pair img { width: 100%; max-height: 55vh; object-fit: contain; background: transparent; }
@media (min-width: 60rem) { #view .pair { grid-auto-flow: column; grid-auto-columns: minmax(0, 1fr); }
  #view .pair img { max-height: 70vh; } }
"""

_SCRIPT = r"""
const SIZE = 60;
const at = (id) => document.getElementById(id);
const all = typeof gallery === "undefined" ? [] : gallery.entries;
const order = new Intl.Collator("en", {numeric: true});
const link = (folder, path) => folder + path.split("/").map(encodeURIComponent).join("/");
const make = (tag, values, ...children) => {
  const node = Object.assign(document.createElement(tag), values);
  node.append(...children);
  return node;
};
const shown = (value) => Number.isInteger(value) ? String(value) : Number(value.toPrecision(4)).toString();
const count = (number) => number.toLocaleString("en");

/* The file name of a path without its suffix; other texts as they are. */
const stem = (text) => text.includes("/") ? text.split("/").pop().replace(/\.[a-z]+(\.gz)?$/i, "") : text;

/* The folder that all inputs share, which tiles leave out. */
const shared = (() => {
  const names = all.map((entry) => entry.name), first = names[0] || "";
  let end = first.lastIndexOf("/") + 1;
  while (end > 0 && !names.every((name) => name.startsWith(first.slice(0, end)))) {
    end = end < 2 ? 0 : first.lastIndexOf("/", end - 2) + 1;
  }
  return end;
})();
const reason = (entry) => entry.error.startsWith(`${entry.name}: `) ? entry.error.slice(entry.name.length + 2)
  : entry.error;

const numbers = [...new Set(all.flatMap((entry) => Object.keys(entry.numbers || {})))];
const counts = new Map();
for (const entry of all) {
  const texts = Object.values(entry.about || {});
  entry.words = [entry.name, ...texts].join(" ").toLowerCase();
  entry.further = texts.filter((text) => !entry.name.includes(stem(text))).join(", ");
  for (const name of Object.keys(entry.classes || {})) counts.set(name, (counts.get(name) || 0) + 1);
}
const ranked = [...counts].sort((a, b) => b[1] - a[1] || order.compare(a[0], b[0]));

function fill(select, options) {
  select.replaceChildren(...options.map(([value, text]) => make("option", {value}, text)));
}
fill(at("class"), [["", "all classes"], ...ranked.map(([name, count]) => [name, `${name} (${count})`])]);
at("class").parentElement.hidden = !ranked.length;
fill(at("number"), numbers.map((name) => [name, name]));
at("range").hidden = at("number").parentElement.hidden = !numbers.length;
fill(at("sort"), [["order", "order of inputs"], ["name", "name"],
  ...numbers.flatMap((name) => [[`-${name}`, `${name}, highest first`], [`+${name}`, `${name}, lowest first`]])]);

/* The score of a chosen class is that of its best result. */
function valueOf(entry, name) {
  const own = (entry.classes || {})[at("class").value];
  const value = own && name === "score" && own[1] !== null ? own[1] : (entry.numbers || {})[name];
  return value === undefined ? NaN : value;
}

function fits(entry) {
  const words = at("search").value.toLowerCase().split(/\s+/);
  if (!words.every((word) => entry.words.includes(word))) return false;
  const state = at("state").value;
  if (state && (state === "failed") !== ("error" in entry)) return false;
  const chosen = at("class").value;
  if (chosen && !Object.hasOwn(entry.classes || {}, chosen)) return false;
  for (const [id, sign] of [["from", 1], ["to", -1]]) {
    const limit = at(id).value === "" ? NaN : at(id).valueAsNumber;
    if (!isNaN(limit) && !(sign * (valueOf(entry, at("number").value) - limit) >= 0)) return false;
  }
  return true;
}

function compared(how) {
  if (how === "order") return null;
  if (how === "name") return (a, b) => order.compare(a.name, b.name);
  const [sign, name] = [how[0] === "+" ? 1 : -1, how.slice(1)];
  return (a, b) => {
    const [x, y] = [valueOf(a, name), valueOf(b, name)];
    if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
    return sign * (x - y);
  };
}

function summary(entry) {
  if ("error" in entry) return reason(entry);
  const parts = Object.entries(entry.numbers || {}).slice(0, 3).map(([name, value]) => `${name} ${shown(value)}`);
  const classes = Object.entries(entry.classes || {});
  const listed = classes.slice(0, 4).map(([name, [number, score]]) =>
    number > 1 ? `${number} ${name}` : score === null ? name : `${name} ${score.toFixed(2)}`);
  if (classes.length > 4) listed.push(`${classes.length - 4} more`);
  return [parts.join(", "), listed.join(", ")].filter(Boolean).join("; ");
}

function tile(entry, index) {
  const isFailed = "error" in entry, text = summary(entry);
  const image = "image" in entry
    ? make("img", {src: link("small/", entry.image), alt: "", loading: "lazy", decoding: "async"})
    : make("span", {className: "none"}, isFailed ? "failed" : "no image");
  const name = make("span", {title: entry.name.slice(shared)}, entry.name.slice(shared));
  const node = make("image" in entry ? "a" : "button", {className: "tile"}, image, name);
  if (entry.further) node.append(make("span", {}, entry.further));
  node.append(make("span", {className: "soft"}, text));
  if ("image" in entry) node.href = link("drawn/", entry.image);
  node.dataset.index = index;
  node.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    open(index);
  });
  return make("li", {}, node);
}

let found = all, page = 0, current = 0;

function select() {
  found = all.filter(fits);
  const how = compared(at("sort").value);
  if (how) found.sort(how);
  page = 0;
  render();
}

function render() {
  const pages = Math.max(1, Math.ceil(found.length / SIZE));
  page = Math.min(Math.max(page, 0), pages - 1);
  const first = page * SIZE, some = found.slice(first, first + SIZE);
  at("tiles").replaceChildren(...some.map((entry, place) => tile(entry, first + place)));
  const failed = all.filter((entry) => "error" in entry).length;
  const noun = at("tiles").dataset.noun;
  const texts = [found.length ? `${first + 1} to ${first + some.length} of ${count(found.length)} ${noun}`
    : `no ${noun} fit`];
  if (found.length < all.length) texts[0] += `, ${count(all.length)} in all`;
  if (failed) texts.push(`${count(failed)} failed`);
  if (all.some((entry) => (entry.about || {}).time)) texts.push("one frame per second of videos");
  at("status").textContent = typeof gallery === "undefined" ? "entries.js is missing or damaged" : texts.join("; ");
  for (const node of document.querySelectorAll(".pages")) node.textContent = `page ${page + 1} of ${pages}`;
  for (const node of document.querySelectorAll("[data-step]")) {
    const to = page + Number(node.dataset.step);
    node.disabled = to < 0 || to >= pages;
  }
}

function focusOn(index) {
  if (index < 0 || index >= found.length) return;
  if (Math.floor(index / SIZE) !== page) {
    page = Math.floor(index / SIZE);
    render();
  }
  at("tiles").querySelector(`[data-index="${index}"]`).focus();
}

function figure(folder, entry, caption) {
  const href = link(folder, entry.image);
  const image = make("img", {src: href, alt: `${caption}: ${entry.name}`});
  const text = make("figcaption", {}, `${caption}, `, make("a", {href, target: "_blank"}, "full size"));
  return make("figure", {}, image, text);
}

function details(entry) {
  const rows = [...Object.entries(entry.about || {}), ...Object.entries(entry.numbers || {}).map(
    ([name, value]) => [name, shown(value)])];
  if (entry.size && entry.size.length) rows.push(["size", entry.size.join(" x ")]);
  for (const [name, [number, score]] of Object.entries(entry.classes || {})) {
    rows.push([name, score === null ? "in the image" : `${number}, best score ${score.toFixed(3)}`]);
  }
  const cells = rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))]);
  const list = make("dl", {}, ...cells);
  const files = (entry.files || []).map((path) => make("li", {}, make("a", {href: link("../", path)}, path)));
  return files.length ? [list, make("p", {className: "soft"}, "files"), make("ul", {}, ...files)] : [list];
}

function open(index) {
  if (index < 0 || index >= found.length) return;
  current = index;
  const entry = found[index];
  at("name").textContent = entry.name;
  at("place").textContent = `${index + 1} of ${found.length}`;
  const text = "error" in entry ? reason(entry) : entry.text;
  at("text").textContent = text || entry.further;
  const figures = [];
  if ("image" in entry) {
    figures.push(figure("drawn/", entry, "result"));
    if (at("view").dataset.original) figures.push(figure("original/", entry, "input"));
  }
  at("pair").replaceChildren(...figures);
  at("details").replaceChildren(...details(entry));
  at("before").disabled = index === 0;
  at("after").disabled = index === found.length - 1;
  if (!at("view").open) at("view").showModal();
  at("view").scrollTop = 0;
}

at("controls").addEventListener("input", select);
at("controls").addEventListener("submit", (event) => event.preventDefault());
at("controls").addEventListener("reset", () => setTimeout(select));
for (const node of document.querySelectorAll("[data-step]")) {
  node.addEventListener("click", () => {
    page += Number(node.dataset.step);
    render();
    scrollTo(0, 0);
  });
}
at("tiles").addEventListener("keydown", (event) => {
  const node = event.target.closest("[data-index]");
  if (!node) return;
  const columns = getComputedStyle(at("tiles")).gridTemplateColumns.split(" ").length;
  const steps = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns};
  if (!(event.key in steps)) return;
  event.preventDefault();
  focusOn(Number(node.dataset.index) + steps[event.key]);
});
at("view").addEventListener("keydown", (event) => {
  const steps = {ArrowLeft: -1, ArrowRight: 1};
  if (!(event.key in steps)) return;
  event.preventDefault();
  open(current + steps[event.key]);
});
at("view").addEventListener("close", () => focusOn(current));
at("before").addEventListener("click", () => open(current - 1));
at("after").addEventListener("click", () => open(current + 1));
at("close").addEventListener("click", () => at("view").close());
select();
"""


def gallery_page(about: Sequence[tuple[str, str]], nouns: str, *, has_original: bool) -> str:
    """Return the page.

    Args:
        about: names and values that are stated at the top.
        nouns: name of several inputs.
        has_original: True if the folder ``original`` has the images without results.

    Example:
        >>> text = gallery_page([("model", "a < b")], "images", has_original=True)
        >>> "a &lt; b" in text, "fetch(" in text, "http" in text
        (True, False, False)
    """
    facts = [element("dt", name) + element("dd", value) for name, value in about]
    body = [
        element("dl", Html("".join(facts))),
        element("noscript", element("p", "The page needs JavaScript; the images are in the folder drawn.")),
        _controls(),
        element("div", joined([element("p", id="status", role="status"), *_pages()]), class_="bar"),
        element("ul", id="tiles", data_noun=nouns, aria_label=nouns),
        element("div", joined([element("p"), *_pages()]), class_="bar"),
        _view(has_original=has_original),
        element("script", src="entries.js"),
    ]
    return page("Gallery of results", joined(body), script=_SCRIPT, style=_STYLE)


def _controls() -> Html:
    select = {name: element("select", id=name) for name in ("class", "number", "sort")}
    limits = [
        element("input", id=name, type="number", step="any", placeholder=name, aria_label=f"number {name}")
        for name in ("from", "to")
    ]
    states = [("", "all"), ("usable", "with a result"), ("failed", "failed")]
    options = [element("option", text, value=value) for value, text in states]
    parts = [
        element("label", joined(["name", element("input", id="search", type="search")])),
        element("label", joined(["class", select["class"]])),
        element("label", joined(["number", select["number"]])),
        element("fieldset", joined(["its value", element("div", joined(limits))]), id="range"),
        element("label", joined(["inputs", element("select", joined(options), id="state")])),
        element("label", joined(["sorted by", select["sort"]])),
        element("button", "reset", type="reset"),
    ]
    return element("form", joined(parts), id="controls", role="search", aria_label="choice of inputs")


def _pages() -> list[Html]:
    """Return the buttons to the page before and after, which are above and below the images."""
    named = (("previous page", -1), ("next page", 1))
    before, after = (element("button", name, type="button", data_step=step) for name, step in named)
    return [before, element("span", class_="pages"), after]


def _view(*, has_original: bool) -> Html:
    bar = [
        element("h2", id="name"),
        element("span", id="place", class_="soft"),
        *(element("button", name, type="button", id=key) for key, name in (("before", "previous"), ("after", "next"))),
        element("button", "close", type="button", id="close"),
    ]
    parts = [
        element("div", joined(bar), class_="bar"),
        element("p", id="text"),
        element("div", id="pair", class_="pair"),
        element("div", id="details"),
    ]
    original = "true" if has_original else None
    return element("dialog", joined(parts), id="view", aria_labelledby="name", data_original=original)
