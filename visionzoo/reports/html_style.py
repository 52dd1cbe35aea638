"""Style sheet and script of every HTML page: see :mod:`visionzoo.reports.html_page`."""

# All pairs of a text colour and a ground have a contrast of at least 4.5 (WCAG AA) in both schemes.
STYLE = """
:root { color-scheme: light dark; --back: #ffffff; --plate: #f3f5f7; --ink: #1b1f23; --soft: #505a64; --line: #c8d0d8;
  --link: #0b57b0; }
@media (prefers-color-scheme: dark) { :root { --back: #14171a; --plate: #21262b; --ink: #e8eaec; --soft: #aab3bc;
  --line: #454e57; --link: #86bdff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 96rem; margin: 0 auto; padding: 1rem; }
h1, h2, h3, h4, p, li, dd, figcaption { overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .5rem 0 1rem; }
h2 { font-size: 1.25rem; margin: 2rem 0 .75rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; }
h4 { font-size: 1rem; margin: 1.25rem 0 .5rem; }
p { margin: .5rem 0; max-width: 50rem; }
a { color: var(--link); }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.note, figcaption, caption { color: var(--soft); }
.warning { border-left: 4px solid var(--link); padding: .5rem .75rem; background: var(--plate); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .5rem 0; }
dt { color: var(--soft); }
dd { margin: 0; min-width: 0; }
.scroll { overflow-x: auto; margin: .75rem 0; }
.long { max-height: 40rem; overflow-y: auto; width: fit-content; max-width: 100%; border: 1px solid var(--line); }
.long thead { position: sticky; top: 0; }
@media print { .long { max-height: none; } }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .25rem 0; }
th, td { padding: .3rem .7rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { background: var(--plate); white-space: nowrap; }
td { min-width: 4rem; max-width: 30rem; overflow-wrap: break-word; }
.number { text-align: right; white-space: nowrap; }
th button { all: unset; cursor: pointer; font: inherit; }
th button:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
th button::after { content: " \\2195"; color: var(--soft); }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
figure { margin: 0 0 1rem; min-width: 0; }
img { display: block; max-width: 100%; height: auto; background: #ffffff; }
.grid { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; } }
"""

# A second click reverses the order. Cells without a number follow those with one; equal rows keep their order.
SORT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, at) => head.querySelector("button").addEventListener("click", () => {
    const rising = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const value = (row) => {
      const cell = row.cells[at];
      return "value" in cell.dataset ? Number(cell.dataset.value) : parseFloat(cell.textContent);
    };
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (isNaN(x) && isNaN(y)) {
        const order = a.cells[at].textContent.localeCompare(b.cells[at].textContent, "en", { numeric: true });
        return rising ? order : -order;
      }
      if (isNaN(x) || isNaN(y)) return isNaN(x) ? 1 : -1;
      return rising ? x - y : y - x;
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
  }));
}
"""
