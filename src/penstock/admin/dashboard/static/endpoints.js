// The table of endpoints: columns, filters, and what stands beside the table of one of them.
import { Chart, sparkline } from "./charts.js";
import { Grid } from "./grid.js";
import { clock, duration, el, number, percent, say, span, whole } from "./text.js";
import { stateWord, t } from "./words.js";

export const SHAPES = { up: "●", starting: "◐", draining: "▽", maintenance: "◆", down: "✕", ejected: "▲", weightless: "○" };
export const TONES = { up: "good", starting: "warn", draining: "calm", maintenance: "calm", weightless: "calm", down: "bad", ejected: "bad" };
const ORDER = ["down", "ejected", "maintenance", "draining", "weightless", "starting", "up"];

export const title = (endpoint) => `${endpoint.pool}/${endpoint.name}`;

export function paintState(cell, state) {
  const text = `${SHAPES[state] ?? "?"} ${stateWord(state)}`;
  if (cell.textContent === text) return;
  cell.textContent = text;
  cell.className = `pill ${TONES[state] ?? "warn"}`;
}

export const plain = (id, word, width, value, shown, more = {}) => ({
  id, title: () => t(word), width: `${width}px`, least: width, number: true, value,
  draw(cell, item) {
    const text = shown(value(item), item);
    say(cell, text);
    cell.classList.toggle("nothing", text === "–" || text === "0");
    cell.classList.toggle("bad", Boolean(more.bad?.(item)));
  },
});

const lined = (id, word, width, line, value, store) => ({
  ...plain(id, word, width, value, duration),
  make(cell) {
    cell.said = cell.appendChild(el("span"));
    cell.canvas = cell.appendChild(el("canvas", { class: "line below", "aria-hidden": "true" }));
  },
  draw(cell, item) {
    const known = value(item);
    say(cell.said, duration(known));
    cell.classList.toggle("nothing", known === null);
    cell.canvas.hidden = known === null;
    const values = known === null ? [] : store.lines.get(item.key)?.[line] ?? [];
    sparkline(cell.canvas, values, id === "p99" ? "warn" : "calm");
  },
});

export const meter = (column, word, width, value, share, shown) => ({
  id: column, title: () => t(word), width: `${width}px`, least: width, number: true, value,
  make(cell) {
    cell.said = cell.appendChild(el("span"));
    cell.bar = el("i");
    cell.box = cell.appendChild(el("span", { class: "meter" }, cell.bar));
  },
  draw(cell, item) {
    say(cell.said, shown(value(item), item));
    const part = share(item);
    cell.box.hidden = part === null;
    cell.bar.style.width = `${Math.min(1, part ?? 0) * 100}%`;
    const bounded = column !== "in_flight" || item.max_in_flight > 0;
    cell.bar.className = !bounded ? "" : part >= 0.95 ? "full" : part >= 0.8 ? "high" : "";
  },
});

function columnsOf(store) {
  const most = () => Math.max(1, ...[...store.endpoints.values()].map((each) => each.in_flight));
  return [
    { id: "state", title: () => t("state"), width: "126px", least: 126, value: (e) => ORDER.indexOf(e.state),
      make: (cell) => { cell.pill = cell.appendChild(el("span", { class: "pill" })); },
      draw: (cell, e) => paintState(cell.pill, e.state) },
    { id: "name", title: () => t("endpoint"), width: "minmax(190px, 1fr)", least: 190, value: title,
      make(cell) {
        cell.name = cell.appendChild(el("b"));
        cell.under = cell.appendChild(el("span", { class: "under" }));
      },
      draw(cell, e) {
        say(cell.name, e.name);
        const place = [e.pool, e.zone, e.backup ? t("backup") : ""].filter(Boolean).join(" · ");
        say(cell.under, e.state === "up" ? place : `${place} · ${span(store.now() - e.since)} · ${e.reason}`);
      } },
    meter("in_flight", "in_flight", 80, (e) => e.in_flight, (e) => e.in_flight / (e.max_in_flight || most()),
      (value, e) => (e.max_in_flight ? `${whole(value)} / ${whole(e.max_in_flight)}` : whole(value))),
    plain("queue", "queue", 62, (e) => e.queue, number),
    { id: "rate", title: () => t("rate"), width: "142px", least: 142, number: true, value: (e) => e.rate,
      make(cell) {
        cell.canvas = el("canvas", { class: "line", "aria-hidden": "true" });
        cell.said = el("span");
        cell.append(el("span", { class: "withline" }, cell.canvas, cell.said));
      },
      draw(cell, e) {
        say(cell.said, `${number(e.rate)}/s`);
        sparkline(cell.canvas, store.lines.get(e.key)?.rate ?? []);
      } },
    plain("errors", "error_rate", 74, (e) => e.errors, (value, e) => (value ? `${number(value)} (${percent(e.error_share)})` : "0"),
      { bad: (e) => e.errors > 0 }),
    plain("p50", "p50", 72, (e) => e.p50 ?? null, duration),
    lined("p99", "p99", 72, "p99", (e) => e.p99 ?? null, store),
    { ...plain("tokens", "prompt_s", 84, (e) => e.tokens, number), llm: true },
    { ...lined("ttft", "ttft_mean", 74, "first_byte", (e) => (e.llm ? e.first_byte : null), store), llm: true },
    { ...meter("kv", "kv", 62, (e) => e.kv, (e) => (e.kv === null ? null : e.kv), percent), llm: true },
    { ...plain("hits", "hits", 126, (e) => e.hit_found, (value, e) => (value === null ? "–" : `${percent(value)} / ${percent(e.hit_predicted)}`)), llm: true },
    plain("weight", "weight", 58, (e) => e.effective_weight, number),
  ];
}

export class Endpoints {
  constructor(store, actions, drawer) {
    this.store = store;
    this.actions = actions;
    this.drawer = drawer;
    this.columns = columnsOf(store);
    this.search = el("input", { type: "search", id: "search", autocomplete: "off", "aria-keyshortcuts": "/" });
    this.filters = Object.fromEntries(["pool", "zone", "model", "state"].map((name) => [name, el("select")]));
    this.told = el("span", { class: "told" });
    this.grid = new Grid(this.columns, { open: (key) => this.open(key), label: "endpoints", empty: () => t("none_match") });
    this.element = el("div", { class: "panel" },
      el("div", { class: "tools" }, this.search, Object.values(this.filters), this.told), this.grid.element);
    this.search.addEventListener("input", () => this.show());
    for (const filter of Object.values(this.filters)) filter.addEventListener("change", () => this.show());
    this.name();
  }

  name() {
    this.search.placeholder = t("search");
    this.search.setAttribute("aria-label", t("search"));
    for (const filter of Object.values(this.filters)) filter.replaceChildren();
    this.grid.rename();
  }

  get current() {
    return this.store.endpoints.get(this.grid.selected) ?? null;
  }

  show() {
    const all = [...this.store.endpoints.values()];
    this.offer("pool", "all_pools", all.map((e) => e.pool));
    this.offer("zone", "all_zones", all.map((e) => e.zone));
    this.offer("model", "all_models", all.flatMap(modelsOf));
    this.offer("state", "all_states", all.map((e) => e.state), stateWord);
    const wanted = this.search.value.trim().toLowerCase();
    const { pool, zone, model, state } = Object.fromEntries(Object.entries(this.filters).map(([name, each]) => [name, each.value]));
    const found = all.filter((e) =>
      (!pool || e.pool === pool) && (!zone || e.zone === zone) && (!state || e.state === state) &&
      (!model || modelsOf(e).includes(model)) &&
      (!wanted || [title(e), e.address, e.zone, e.reason, e.state, ...modelsOf(e)].some((each) => each.toLowerCase().includes(wanted))));
    say(this.told, found.length === all.length ? t("total", whole(all.length)) : t("of", whole(found.length), whole(all.length)));
    const llm = found.some((e) => e.llm);
    this.grid.show(this.columns.filter((each) => llm || !each.llm));
    this.grid.set(found);
  }

  // A filter with nothing to choose from is not shown.
  offer(name, word, values, shown = (value) => value) {
    const filter = this.filters[name];
    const known = [...new Set(values.filter(Boolean))].sort();
    const before = [...filter.options].slice(1).map((each) => each.value);
    if (!filter.options.length || known.join("\n") !== before.join("\n")) {
      const chosen = filter.value;
      filter.replaceChildren(el("option", { value: "" }, t(word)), ...known.map((each) => el("option", { value: each }, shown(each))));
      filter.setAttribute("aria-label", t(word));
      if (known.includes(chosen)) filter.value = chosen;
    }
    filter.hidden = known.length < 2 && !filter.value;
  }

  open(key) {
    const endpoint = this.store.endpoints.get(key);
    if (endpoint) this.drawer.open(new EndpointView(this.store, key, this.actions));
  }
}

const modelsOf = (e) => [...new Set([...e.models, ...(e.loaded ?? [])])];

// Beside the table: everything of one endpoint.
class EndpointView {
  constructor(store, key, actions) {
    this.store = store;
    this.key = key;
    this.heading = el("h2");
    this.pill = el("span", { class: "pill" });
    this.why = el("p", { class: "said" });
    this.facts = el("dl", { class: "facts" });
    this.notes = el("div");
    const act = (word, run) => el("button", { type: "button", onclick: () => run(this.endpoint) }, t(word));
    this.drain = act("drain", actions.drain);
    this.undrain = act("undrain", actions.undrain);
    this.weight = act("set_weight", actions.weight);
    this.buttons = el("div", { class: "actions" }, this.drain, this.undrain, this.weight);
    this.may = actions.may;
    const { llm } = store.endpoints.get(key);
    this.charts = [
      [new Chart("requests_s", [{ word: "rate", color: "accent", unit: "number", fill: true }, { word: "error_rate", color: "bad", unit: "number" }]), ["rate", "errors"]],
      [new Chart("in_flight", [{ word: "in_flight", color: "accent", unit: "number", fill: true }, { word: "queue", color: "warn", unit: "number" }]), ["in_flight", "queue"]],
      [new Chart("latency", [{ word: "p99", color: "warn", unit: "duration" }, { word: llm ? "ttft_mean" : "first_mean", color: "calm", unit: "duration" }]), ["p99", "first_byte"]],
    ];
    this.element = el("div", {}, this.why, this.buttons, this.notes, this.facts,
      el("h3", {}, t("minutes")), this.charts.map(([chart]) => chart.element));
  }

  get endpoint() {
    return this.store.endpoints.get(this.key);
  }

  show() {
    const e = this.endpoint;
    if (!e) return false;
    say(this.heading, title(e));
    paintState(this.pill, e.state);
    say(this.why, `${e.reason} · ${t("since", clock(e.since), span(this.store.now() - e.since))}`);
    this.buttons.hidden = !this.may();
    this.drain.hidden = e.draining;
    this.undrain.hidden = !e.draining;
    this.notes.replaceChildren(...e.notes.map((note) => el("p", { class: "said warn" }, note)));
    const facts = [
      ["address", e.address], ["zone", e.zone], ["source", e.source], ["models", modelsOf(e).join(", ")],
      ["in_flight", e.max_in_flight ? t("of", whole(e.in_flight), whole(e.max_in_flight)) : whole(e.in_flight)],
      ["queue", e.queue === null ? "" : number(e.queue)], ["running", e.running === null ? "" : number(e.running)],
      ["rate", `${number(e.rate)}/s`], ["error_rate", `${number(e.errors)} (${percent(e.error_share)})`],
      ["p50", duration(e.p50 ?? null)], ["p99", duration(e.p99 ?? null)], ["mean", duration(e.mean)],
      ["weight", e.effective_weight === e.weight ? number(e.weight) : `${number(e.weight)} (${t("effective", number(e.effective_weight))})`],
      ["engine", e.engine], ["kv", e.kv === null ? "" : percent(e.kv)],
      ["prompt_s", e.llm ? number(e.tokens) : ""], ["ttft_mean", e.llm ? duration(e.first_byte) : ""],
      ["hit_found", e.hit_found === null ? "" : percent(e.hit_found)], ["hit_predicted", e.hit_predicted === null ? "" : percent(e.hit_predicted)],
      ["distrust", e.distrust ? percent(e.distrust) : ""],
      ["requests", whole(e.requests)], ["failures", whole(e.failures)],
      ["circuits", e.circuits ? whole(e.circuits) : ""], ["ejections", e.ejections ? whole(e.ejections) : ""], ["last_check", e.last_check],
    ].filter(([, value]) => value !== "" && value !== undefined);
    this.facts.replaceChildren(...facts.map(([word, value]) => el("div", {}, el("dt", {}, t(word)), el("dd", {}, value))));
    const lines = this.store.lines.get(this.key);
    for (const [chart, names] of this.charts) chart.set([lines.at, ...names.map((name) => lines[name])]);
    return true;
  }

  end() {
    for (const [chart] of this.charts) chart.end();
  }
}
