// Processes, listeners and reloads.
import { day, el, number, span, whole } from "./text.js";
import { stateWord, t } from "./words.js";

export class Workers {
  constructor(store) {
    this.store = store;
    this.element = el("div", { class: "panel" });
  }

  name() {}

  show() {
    const { balance, workers } = this.store;
    const titles = ["worker", "pid", "state", "for", "requests_s", "requests", "clients", "sessions", "idle", "generation", "restarts"];
    const rows = [...workers.values()].map((each) => el("tr", {},
      el("td", {}, String(each.index)), el("td", { class: "number" }, each.pid ? String(each.pid) : "–"),
      el("td", {}, el("span", { class: `pill ${each.state === "ready" ? "good" : "bad"}` }, stateWord(each.state))),
      el("td", { class: "number" }, span(this.store.now() - each.since)),
      [number(each.rate), whole(each.requests), whole(each.connections), whole(each.sessions), whole(each.idle)].map((text) => el("td", { class: "number" }, text)),
      el("td", { class: `number ${each.generation < balance.generation ? "bad-text" : ""}` }, String(each.generation)),
      el("td", { class: "number" }, String(each.restarts))));
    const last = balance.last_reload;
    this.element.replaceChildren(
      el("h3", {}, t("workers")),
      el("div", { class: "list short" }, el("table", {},
        el("thead", {}, el("tr", {}, titles.map((word, at) => el("th", { scope: "col", class: at && at !== 2 ? "number" : "" }, t(word))))),
        el("tbody", {}, rows))),
      el("h3", {}, t("listening")),
      ...balance.listeners.map((each) => el("p", { class: `said ${each.problem ? "bad" : ""}` },
        `${each.name}: ${each.address.startsWith("unix:") ? each.address : `${each.scheme}://${each.address}`}${each.problem ? `. ${each.problem}` : ""}`)),
      el("h3", {}, t("reloads")),
      el("p", { class: `said ${last && !last.ok ? "bad" : ""}` },
        last ? `${day(last.at)}: ${last.message}` : "–", balance.source ? ` (${balance.source})` : ""));
  }
}
