// A table of any length: only the rows in sight exist. Keys move through it, titles sort it.
import { el, say } from "./text.js";

const BEYOND = 6; // rows drawn above and below what is in sight

export class Grid {
  // columns: [{id, title(), width, least, number, value(item), make(), draw(cell, item)}]
  constructor(columns, { open, label, empty }) {
    this.columns = columns;
    this.open = open;
    this.empty = empty;
    this.items = [];
    this.rows = [];
    this.sort = { id: columns[0].id, down: false };
    this.selected = null; // a key
    this.titles = el("div", { class: "titles", role: "row" });
    this.body = el("div", { class: "body", role: "rowgroup" });
    this.nothing = el("p", { class: "empty", hidden: true });
    this.element = el("div", { class: "grid", role: "grid", tabindex: "0", "aria-label": label },
      el("div", { role: "rowgroup" }, this.titles), this.body, this.nothing);
    this.element.addEventListener("scroll", () => this.paint());
    this.element.addEventListener("keydown", (event) => this.onKey(event));
    this.body.addEventListener("click", (event) => this.onClick(event));
    new ResizeObserver(() => this.paint()).observe(this.element);
    this.wide = matchMedia("(min-width: 721px)");
    this.wide.addEventListener("change", () => this.paint());
    this.show(columns);
  }

  // Which of the columns there are at present.
  show(columns) {
    const ids = columns.map((each) => each.id).join();
    if (ids === this.shown) return;
    this.shown = ids;
    this.visible = columns;
    this.element.style.setProperty("--columns", columns.map((each) => each.width).join(" "));
    const least = columns.reduce((sum, each) => sum + each.least + 10, 14);
    this.element.style.setProperty("--least", `${least}px`);
    this.rename();
    this.body.replaceChildren();
    this.rows = [];
  }

  rename() {
    this.titles.replaceChildren(...this.visible.map((column) => {
      const button = el("button", { type: "button", tabindex: "-1", onclick: () => this.sortBy(column.id) }, column.title());
      return el("div", { class: `cell ${column.number ? "number" : ""}`, role: "columnheader", "data-id": column.id }, button);
    }));
    this.mark();
  }

  sortBy(id) {
    const column = this.columns.find((each) => each.id === id);
    const down = this.sort.id === id ? !this.sort.down : Boolean(column.number);
    this.sort = { id, down };
    this.mark();
    this.set(this.items);
  }

  mark() {
    for (const title of this.titles.children) {
      const sorted = title.dataset.id === this.sort.id;
      title.setAttribute("aria-sort", sorted ? (this.sort.down ? "descending" : "ascending") : "none");
    }
  }

  set(items) {
    const column = this.columns.find((each) => each.id === this.sort.id);
    const sign = this.sort.down ? -1 : 1;
    const keyed = items.map((item) => [column.value(item), item]);
    keyed.sort(([a, one], [b, other]) => sign * compare(a, b) || compare(one.name, other.name));
    this.items = keyed.map(([, item]) => item);
    this.element.setAttribute("aria-rowcount", String(this.items.length + 1));
    this.nothing.hidden = this.items.length > 0;
    say(this.nothing, this.empty());
    this.paint();
  }

  get height() {
    return this.wide.matches ? 46 : 62;
  }

  paint() {
    const height = this.height;
    this.element.style.setProperty("--row", `${height}px`);
    this.body.style.height = `${this.items.length * height}px`;
    const top = Math.max(0, Math.floor(this.element.scrollTop / height) - BEYOND);
    const count = Math.ceil(this.element.clientHeight / height) + 2 * BEYOND;
    const end = Math.min(this.items.length, top + count);
    while (this.rows.length < Math.min(count, this.items.length)) this.rows.push(this.addRow());
    for (const row of this.rows) row.used = false;
    for (let index = top; index < end; index += 1) this.draw(this.rows[index % this.rows.length], index);
    for (const row of this.rows) row.element.hidden = !row.used;
  }

  addRow() {
    const cells = this.visible.map((column) => {
      const cell = el("div", { class: `cell ${column.id} ${column.number ? "number" : ""}`, role: "gridcell" });
      column.make?.(cell);
      return cell;
    });
    const element = this.body.appendChild(el("div", { class: "row", role: "row" }, cells));
    return { element, cells, used: false };
  }

  draw(row, index) {
    const item = this.items[index];
    row.used = true;
    row.key = item.key;
    const { element } = row;
    element.hidden = false;
    element.id = `row-${item.key}`;
    element.style.transform = `translateY(${index * this.height}px)`;
    element.setAttribute("aria-rowindex", String(index + 2));
    element.setAttribute("aria-selected", String(item.key === this.selected));
    element.classList.toggle("odd", index % 2 === 1);
    this.visible.forEach((column, at) => column.draw(row.cells[at], item));
  }

  onClick(event) {
    const element = event.target.closest(".row");
    const row = this.rows.find((each) => each.element === element);
    if (!row) return;
    this.select(row.key);
    this.open(row.key);
  }

  select(key) {
    this.selected = key;
    this.element.setAttribute("aria-activedescendant", `row-${key}`);
    this.paint();
  }

  onKey(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
    if (event.key === "Enter" && this.selected !== null) this.open(this.selected);
    else if (event.key in steps && this.items.length) {
      const at = this.items.findIndex((item) => item.key === this.selected);
      const next = Math.max(0, Math.min(this.items.length - 1, at < 0 ? 0 : at + steps[event.key]));
      const { element, height } = this;
      element.scrollTop = Math.min(Math.max(element.scrollTop, (next + 1) * height - element.clientHeight + 36), next * height);
      this.select(this.items[next].key);
    } else return;
    event.preventDefault();
  }
}

function compare(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return -1;
  if (b === null || b === undefined) return 1;
  if (typeof a === "string") return a.localeCompare(String(b), undefined, { numeric: true });
  return a < b ? -1 : 1;
}
