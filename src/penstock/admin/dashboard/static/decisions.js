// Recorded decisions. They are asked of the workers when somebody wants to see them, never by a clock.
import { ask } from "./stream.js";
import { clock, duration, el, number, say, visible, whole } from "./text.js";
import { t } from "./words.js";

const SEEN = ["in_flight", "here", "queued_tokens", "kv_tokens", "report_age_s"];
const LIMIT = 200;

function shownTerm(name, value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "number") return name.endsWith("_s") ? duration(value) : number(value);
  return String(value);
}

const pair = (shown, real, predicted) => `${shown(real ?? null)}, ${shown(predicted ?? null)}`;

export class Decisions {
  constructor(drawer) {
    this.drawer = drawer;
    this.records = null;
    this.button = el("button", { type: "button", onclick: () => this.load() });
    this.told = el("span", { class: "told" });
    this.head = el("tr");
    this.rows = el("tbody");
    this.empty = el("p", { class: "said", hidden: true });
    this.table = el("div", { class: "list" }, el("table", {}, el("thead", {}, this.head), this.rows));
    this.element = el("div", { class: "panel" }, el("div", { class: "tools" }, this.button, this.told), this.empty, this.table);
    this.rows.addEventListener("click", (event) => this.open(event.target.closest("tr")));
    this.rows.addEventListener("keydown", (event) => event.key === "Enter" && this.open(event.target.closest("tr")));
    this.name();
  }

  name() {
    say(this.button, t("refresh"));
    const titles = [["time"], ["request"], ["pool"], ["picked"], ["by"], ["candidates", 1], ["cached_pair", 1], ["first_pair", 1], ["end"]];
    this.head.replaceChildren(...titles.map(([word, right]) => el("th", { scope: "col", class: right ? "number" : "" }, t(word))));
    if (this.records) this.fill();
  }

  show() {
    if (!this.records) this.load();
  }

  async load() {
    this.records ??= [];
    this.button.disabled = true;
    try {
      this.records = (await (await ask(`decisions?limit=${LIMIT}`)).json()).decisions;
      say(this.told, t("total", whole(this.records.length)));
      this.fill();
    } catch (error) {
      say(this.told, t("refused", error.message));
    } finally {
      this.button.disabled = false;
    }
  }

  fill() {
    this.empty.hidden = this.records.length > 0;
    this.table.hidden = !this.empty.hidden;
    say(this.empty, t("no_decisions"));
    this.rows.replaceChildren(...this.records.map((record, index) => {
      const real = record.came_true ?? {};
      const predicted = record.predicted ?? {};
      return el("tr", { tabindex: "0", "data-index": String(index) },
        el("td", {}, clock(record.time)), el("td", { class: "mono" }, record.id), el("td", {}, record.pool),
        el("td", {}, record.picked), el("td", {}, record.by === "policy" ? record.policy : record.by),
        el("td", { class: "number" }, whole(record.candidates.length + (record.left_out ?? 0))),
        el("td", { class: "number" }, pair(number, real.cached_tokens, predicted.cached_tokens)),
        el("td", { class: "number" }, pair(duration, real.ttft_s, predicted.ttft_s)),
        el("td", { class: real.end && real.end !== "done" ? "bad-text" : "" }, real.end ?? t("still")));
    }));
  }

  open(row) {
    if (row) this.drawer.open(new DecisionView(this.records[Number(row.dataset.index)]));
  }
}

// Every candidate with its terms, the best first.
class DecisionView {
  constructor(record) {
    this.wide = true;
    this.heading = el("h2", {}, `${record.pool} → ${record.picked}`);
    this.pill = el("span", { class: "pill" }, record.by === "policy" ? record.policy : record.by);
    this.element = el("div", {}, el("p", { class: "said mono" }, this.request(record)),
      el("h3", {}, t("terms")), this.terms(record),
      record.left_out ? el("p", { class: "muted" }, t("left_out", record.left_out)) : null,
      el("h3", {}, t("outcome")), this.outcome(record));
  }

  request({ request, id, attempt }) {
    const parts = [`${request.method} ${request.path}`, id, attempt > 1 ? `#${attempt}` : ""];
    if (request.model) parts.push(request.model);
    if (request.prompt_tokens !== undefined) parts.push(`${whole(request.prompt_tokens)} tokens`);
    for (const key of ["session", "key"]) if (request[key] !== undefined) parts.push(`${key} ${request[key]}`);
    return parts.filter(Boolean).join(" · ");
  }

  terms(record) {
    const candidates = [...record.candidates].sort((a, b) => rank(a) - rank(b));
    const seen = SEEN.filter((name) => candidates.some((each) => name in each));
    const names = [...new Set(candidates.flatMap((each) => Object.keys(each.terms)))];
    const plain = (name) => visible(name).replace(/_s$/, "").replaceAll("_", " ");
    return el("div", { class: "scroll" }, el("table", {},
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, t("candidate")),
        [...names, ...seen].map((name) => el("th", { scope: "col", class: "number" }, plain(name))))),
      el("tbody", {}, candidates.map((each) => el("tr", { class: each.endpoint === record.picked ? "picked" : "" },
        el("td", {}, `${each.endpoint === record.picked ? "→ " : ""}${each.endpoint}`),
        names.map((name) => el("td", { class: "number" }, shownTerm(name, each.terms[name]))),
        seen.map((name) => el("td", { class: "number" }, shownTerm(name, each[name]))))))));
  }

  outcome(record) {
    const real = record.came_true ?? {};
    const predicted = record.predicted ?? {};
    const names = [...new Set([...Object.keys(predicted), ...Object.keys(real)])].filter((name) => name !== "address" || real.address);
    return el("div", { class: "scroll" }, el("table", {},
      el("thead", {}, el("tr", {}, el("th", {}), el("th", { class: "number" }, t("predicted")), el("th", { class: "number" }, t("came_true")))),
      el("tbody", {}, names.map((name) => el("tr", {}, el("td", {}, name.replace(/_s$/, "").replaceAll("_", " ")),
        el("td", { class: "number" }, shownTerm(name, predicted[name])), el("td", { class: "number" }, shownTerm(name, real[name])))))));
  }

  show() {
    return true;
  }

  end() {}
}

function rank({ terms }) {
  if (typeof terms.cost === "number") return terms.cost;
  if (typeof terms.score === "number") return -terms.score;
  return 0;
}
