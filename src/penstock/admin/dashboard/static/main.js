// Starts the page: the stream, the head of the page, the tabs, and the keys.
import { actionsOn } from "./actions.js";
import { Chart, redraw } from "./charts.js";
import { Decisions } from "./decisions.js";
import { Endpoints } from "./endpoints.js";
import { Events } from "./events.js";
import { Pools } from "./pools.js";
import { Store } from "./store.js";
import { listen, showToken } from "./stream.js";
import { Tenants } from "./tenants.js";
import { bytes, duration, el, number, percent, say, span, whole } from "./text.js";
import { choose, language, t } from "./words.js";
import { Workers } from "./workers.js";

const id = (name) => document.getElementById(name);
const store = new Store();
const access = { may: "look" };
const actions = actionsOn(store, access);

// --- beside the table ---------------------------------------------------------------------------

class Drawer {
  constructor() {
    this.element = id("drawer");
    this.view = null;
  }

  open(view) {
    const from = this.view ? this.from : document.activeElement;
    this.close();
    this.view = view;
    this.from = from;
    this.element.classList.toggle("wide", Boolean(view.wide));
    this.element.replaceChildren(
      el("header", {}, view.heading, view.pill, el("button", { type: "button", onclick: () => this.close(), "aria-label": t("close") }, "✕")),
      view.element);
    this.element.hidden = false;
    this.show();
    this.element.focus();
  }

  show() {
    if (this.view && !this.view.show()) this.close();
  }

  close() {
    if (!this.view) return;
    this.view.end();
    this.view = null;
    this.element.hidden = true;
    this.element.replaceChildren();
    this.from?.focus?.();
  }
}

const drawer = new Drawer();
const endpoints = new Endpoints(store, actions, drawer);
const panels = { endpoints, pools: new Pools(store), decisions: new Decisions(drawer), events: new Events(store), workers: new Workers(store), tenants: new Tenants(store) };
let tab = location.hash.slice(1) in panels ? location.hash.slice(1) : "endpoints";

// --- the head -----------------------------------------------------------------------------------

const tiles = {};
for (const name of ["requests_s", "errors", "in_flight", "latency", "clients", "tokens_s", "hit", "endpoints"]) {
  const parts = { name: el("div", { class: "name" }), value: el("div", { class: "value" }), note: el("div", { class: "note" }) };
  parts.box = el("div", { class: "tile", hidden: true }, parts.name, parts.value, parts.note);
  tiles[name] = parts;
  id("tiles").append(parts.box);
}

function tile(name, value, note, bad = false) {
  const parts = tiles[name];
  parts.box.hidden = value === null;
  if (value === null) return;
  say(parts.name, t(name));
  say(parts.value, value);
  say(parts.note, note);
  parts.value.classList.toggle("bad", bad);
}

const charts = [
  [new Chart("requests_s", [{ word: "requests_s", color: "accent", unit: "number", fill: true }, { word: "errors", color: "bad", unit: "number" }]),
    () => [store.hourOf("rate"), store.hourOf("errors")]],
  [new Chart("latency", [{ word: "p99", color: "warn", unit: "duration" }, { word: "p50", color: "accent", unit: "duration" }]),
    () => [store.hourOf("p99", true), store.hourOf("p50", true)]],
  [new Chart("in_flight", [{ word: "in_flight", color: "calm", unit: "number", fill: true }]), () => [store.hourOf("in_flight")]],
];
id("charts").append(...charts.map(([chart]) => chart.element));

function showHead() {
  const balance = store.balance;
  const pools = [...store.pools.values()];
  const all = [...store.endpoints.values()];
  const sum = (name) => pools.reduce((total, pool) => total + (pool[name] ?? 0), 0);
  const worst = (name) => pools.reduce((most, pool) => (pool[name] !== null && pool[name] > (most ?? -1) ? pool[name] : most), null);
  const ready = !balance.unready.length;
  say(id("ready"), ready ? `● ${t("ready")}` : `✕ ${t("not_ready")}: ${balance.unready.join(", ")}`);
  id("ready").className = `pill ${ready ? "good" : "bad"}`;
  say(id("where"), `${balance.listeners.map((each) => each.address).join(", ")} · ${balance.version} (${balance.form}) · ${t("up_for", span(store.now() - balance.started_at))}`);
  id("look-only").hidden = access.may === "change";
  const rate = sum("rate");
  const errors = sum("errors");
  const available = all.filter((each) => each.available).length;
  tile("requests_s", number(balance.rate), t("total", number(balance.requests)));
  tile("errors", errors ? `${number(errors)}/s` : "0", rate ? percent(errors / rate) : "–", errors > 0);
  tile("in_flight", whole(balance.in_flight), sum("waiting") ? `${t("waiting")}: ${whole(sum("waiting"))}` : "");
  tile("latency", duration(worst("p50")), `p99 ${duration(worst("p99"))}`);
  tile("clients", whole(balance.connections + balance.sessions), `↓ ${bytes(balance.received_rate)} ↑ ${bytes(balance.sent_rate)}`);
  const llm = pools.some((pool) => pool.output_tokens !== null);
  tile("tokens_s", llm ? number(sum("output_tokens")) : null, `${t("ttft")} ${duration(worst("ttft_p50"))}`);
  const cached = pools.filter((pool) => pool.cached !== null);
  const prompts = cached.reduce((total, pool) => total + pool.prompt_tokens, 0);
  const hits = prompts ? cached.reduce((total, pool) => total + pool.cached * pool.prompt_tokens, 0) / prompts : null;
  tile("hit", llm ? percent(hits) : null, t("cached"));
  tile("endpoints", `${whole(available)} / ${whole(all.length)}`, t("available"), available < all.length && available * 2 <= all.length);
  document.title = `${ready ? "" : "✕ "}${number(balance.rate)}/s · Penstock`;
  for (const [chart, series] of charts) if (chart.element.offsetParent) chart.set([store.hour.at, ...series()]);
}

// --- tabs ---------------------------------------------------------------------------------------

function showTabs() {
  const names = Object.keys(panels);
  id("tabs").replaceChildren(...names.map((name, at) => el("button", {
    type: "button", role: "tab", id: `tab-${name}`, "aria-selected": String(name === tab), "aria-controls": "panels",
    tabindex: name === tab ? "0" : "-1", "aria-keyshortcuts": String(at + 1), onclick: () => select(name),
  }, t(name))));
}

function select(name) {
  tab = name;
  history.replaceState(null, "", name === "endpoints" ? location.pathname : `#${name}`);
  for (const each of id("tabs").children) {
    each.setAttribute("aria-selected", String(each.id === `tab-${name}`));
    each.tabIndex = each.id === `tab-${name}` ? 0 : -1;
  }
  id("panels").replaceChildren(panels[name].element);
  if (store.balance) panels[name].show();
}

id("tabs").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const names = Object.keys(panels);
  const next = names[(names.indexOf(tab) + step + names.length) % names.length];
  select(next);
  id(`tab-${next}`).focus();
});

function showAll() {
  if (!store.balance) return;
  showHead();
  panels[tab].show();
  drawer.show();
}

// --- language and theme -------------------------------------------------------------------------

function rename() {
  document.documentElement.lang = language();
  for (const each of document.querySelectorAll("[data-word]")) say(each, t(each.dataset.word));
  say(id("language"), language() === "en" ? "中文" : "English");
  const theme = document.documentElement.dataset.theme ?? "auto";
  say(id("theme"), t(`theme_${theme}`));
  for (const panel of Object.values(panels)) panel.name();
  showTabs();
  redraw();
  showAll();
}

id("language").addEventListener("click", () => {
  choose(language() === "en" ? "zh-CN" : "en");
  drawer.close();
  rename();
});

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  localStorage.setItem("theme", theme);
  rename();
}

id("theme").addEventListener("click", () => {
  const themes = ["auto", "light", "dark"];
  setTheme(themes[(themes.indexOf(document.documentElement.dataset.theme ?? "auto") + 1) % themes.length]);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

// --- keys ---------------------------------------------------------------------------------------

const KEYS = [["/", "k_search"], ["1–6", "k_tabs"], ["↑ ↓", "k_move"], ["Enter", "k_open"], ["d", "k_drain"], ["u", "k_undrain"],
  ["w", "k_weight"], ["z", "k_undo"], ["Esc", "k_close"], ["?", "k_help"]];

function help() {
  const { dialog } = actions;
  dialog.replaceChildren(el("h2", {}, t("keys")),
    el("div", { class: "keys" }, KEYS.map(([key, word]) => [el("kbd", {}, key), el("span", {}, t(word))])),
    el("div", { class: "buttons" }, el("button", { type: "button", onclick: () => dialog.close() }, t("close"))));
  dialog.showModal();
}

id("help").addEventListener("click", help);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || actions.dialog.open) return;
  if (event.key === "Escape") {
    if (document.activeElement === endpoints.search && endpoints.search.value) return;
    drawer.close();
    return;
  }
  if (event.target.closest("input, select, textarea")) return;
  const shortcuts = {
    "/": () => { select("endpoints"); endpoints.search.focus(); },
    "?": help, z: actions.undo,
    d: () => actions.drain(endpoints.current), u: () => actions.undrain(endpoints.current), w: () => actions.weight(endpoints.current),
  };
  const numbered = Object.keys(panels)[Number(event.key) - 1];
  const run = shortcuts[event.key] ?? (numbered && (() => select(numbered)));
  if (!run) return;
  event.preventDefault();
  run();
});

// --- the stream ---------------------------------------------------------------------------------

function trouble(text) {
  id("trouble").hidden = !text;
  say(id("trouble"), text);
}

// Resolves once a token was given.
function askForToken(wrong) {
  const { dialog } = actions;
  return new Promise((resolve) => {
    const input = el("input", { type: "password", autocomplete: "off", required: true, id: "token" });
    const form = el("form", { method: "dialog" }, el("h2", {}, t("token_title")), el("p", {}, t("token_text")),
      wrong ? el("p", { class: "bad-text", role: "alert" }, t("token_wrong")) : null, el("label", {}, t("token"), input),
      el("div", { class: "buttons" }, el("button", { type: "submit", class: "main" }, t("enter"))));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      showToken(input.value.trim());
      dialog.close();
      resolve();
    });
    dialog.oncancel = (event) => event.preventDefault();
    dialog.replaceChildren(form);
    dialog.showModal();
    input.focus();
  }).finally(() => { dialog.oncancel = null; });
}

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
const shown = () => new Promise((resolve) => {
  if (!document.hidden) resolve();
  else document.addEventListener("visibilitychange", () => resolve(), { once: true });
});

async function follow() {
  let asked = false;
  let wait = 500;
  trouble(t("connecting"));
  for (;;) {
    await shown(); // a page that nobody sees asks for nothing
    const hidden = new AbortController();
    const stop = () => document.hidden && hidden.abort();
    document.addEventListener("visibilitychange", stop);
    try {
      await listen((kind, message) => {
        wait = 500;
        asked = false;
        trouble("");
        if (kind === "hello") access.may = message.may;
        else {
          store.take(kind, message);
          showAll();
        }
      }, hidden.signal);
    } catch (error) {
      if (error.status === 401) {
        showToken("");
        trouble("");
        await askForToken(asked);
        asked = true;
        continue;
      }
      if (error.status === 503) trouble(t("full"));
    } finally {
      document.removeEventListener("visibilitychange", stop);
    }
    if (document.hidden) continue;
    if (id("trouble").hidden) trouble(t("lost"));
    await pause(wait);
    wait = Math.min(wait * 2, 8000);
  }
}

const theme = localStorage.getItem("theme");
if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
rename();
select(tab);
follow();
