// What happened, the newest first.
import { day, el, say, whole } from "./text.js";
import { t } from "./words.js";

export class Events {
  constructor(store) {
    this.store = store;
    this.search = el("input", { type: "search", autocomplete: "off" });
    this.level = el("select");
    this.told = el("span", { class: "told" });
    this.list = el("ol", { class: "timeline" });
    this.nothing = el("p", { class: "said" });
    this.element = el("div", { class: "panel" }, el("div", { class: "tools" }, this.search, this.level, this.told),
      el("div", { class: "list" }, this.list));
    this.search.addEventListener("input", () => this.fill());
    this.level.addEventListener("change", () => this.fill());
    this.seen = -1;
    this.name();
  }

  name() {
    this.search.placeholder = t("search_events");
    this.search.setAttribute("aria-label", t("search_events"));
    this.level.setAttribute("aria-label", t("all_levels"));
    const levels = [["", "all_levels"], ["error", "error"], ["warning", "warning"], ["info", "info"]];
    const chosen = this.level.value;
    this.level.replaceChildren(...levels.map(([value, word]) => el("option", { value }, t(word))));
    this.level.value = chosen;
    this.seen = -1;
  }

  show() {
    if (this.seen === this.store.eventsSeen) return;
    this.seen = this.store.eventsSeen;
    this.fill();
  }

  fill() {
    const wanted = this.search.value.trim().toLowerCase();
    const found = this.store.events.filter((each) =>
      (!this.level.value || each.level === this.level.value) &&
      (!wanted || `${each.kind} ${each.message}`.toLowerCase().includes(wanted)));
    say(this.told, t("total", whole(found.length)));
    const lines = found.reverse().map((each) => el("li", { class: each.level },
      el("time", { datetime: new Date(each.at * 1000).toISOString() }, day(each.at)), el("span", { class: "kind" }, each.kind),
      el("p", {}, each.message)));
    this.list.replaceChildren(...(lines.length ? lines : [el("li", {}, t("no_events"))]));
  }
}
