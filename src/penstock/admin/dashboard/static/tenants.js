// Who used how much today, and how full limits are: two tables, the fullest first.
import { meter, plain } from "./endpoints.js";
import { Grid } from "./grid.js";
import { clock, day, number, percent, el, say, whole } from "./text.js";
import { t } from "./words.js";

const text = (id, word, width, least, value, shown = (said) => said) => ({
  id, title: () => t(word), width, least, value,
  draw(cell, item) { say(cell, shown(value(item), item)); },
});
const full = (id, word, value, shown) => meter(id, word, 84, value, value, shown);
const count = (id, word, width, value, more) => plain(id, word, width, value, whole, more);

const TENANTS = [
  full("fullest", "taken", (e) => e.fullest, percent),
  text("name", "tenant", "minmax(150px, 1fr)", 150, (e) => e.name),
  text("fullest_limit", "fullest", "minmax(150px, 1fr)", 150, (e) => e.fullest_limit, (said) => said || "–"),
  count("tenant_keys", "tenant_keys", 56, (e) => e.keys),
  plain("rate", "rate", 84, (e) => e.rate, (value) => `${number(value)}/s`),
  plain("tokens", "tokens_rate", 84, (e) => e.token_rate, number),
  plain("refused_rate", "refused_s", 84, (e) => e.refused_rate, number, { bad: (e) => e.refused_rate > 0 }),
  count("refused", "refused_all", 84, (e) => e.refused),
  count("requests", "requests_today", 120, (e) => e.requests),
  plain("prompt", "prompt_today", 110, (e) => e.prompt_tokens, number),
  plain("output", "output_today", 110, (e) => e.output_tokens, number),
  plain("cost", "cost", 90, (e) => e.cost, number),
];

const most = (limit) => limit.fullest[0];
const by = (standing) => (standing ? standing.subject || t("everybody") : "–");

const LIMITS = [
  full("taken", "taken", (e) => most(e)?.share ?? 0, percent),
  text("name", "limit", "minmax(220px, 2fr)", 220, (e) => e.name),
  text("subject", "taken_by", "minmax(160px, 1fr)", 160, (e) => by(most(e)),
    (said, e) => e.fullest.length > 1 ? e.fullest.slice(0, 3).map((each) => `${by(each)} ${percent(each.share)}`).join(", ") : said),
  plain("amount", "amount", 130, (e) => e.amount, (value, e) => (e.per ? t("per", number(value), e.per) : number(value))),
  plain("whole", "whole_at", 120, (e) => most(e)?.whole_at ?? null,
    (value) => (value === null ? "–" : value * 1000 - Date.now() < 4e7 ? clock(value) : day(value).split(",")[0].split(" ")[0])),
  plain("refused_rate", "refused_s", 84, (e) => e.refused_rate, number, { bad: (e) => e.refused_rate > 0 }),
  count("refused", "refused_all", 84, (e) => e.refused),
];

export class Tenants {
  constructor(store) {
    this.store = store;
    this.tables = [
      ["tenants", new Grid(TENANTS, { open: () => {}, label: "tenants", empty: () => t("no_tenants") })],
      ["limits", new Grid(LIMITS, { open: () => {}, label: "limits", empty: () => t("no_limits") })],
    ];
    this.titles = this.tables.map(() => el("h3"));
    for (const [, grid] of this.tables) grid.sort.down = true;
    this.element = el("div", { class: "panel grids" }, this.tables.map(([, grid], at) => [this.titles[at], grid.element]).flat());
    this.name();
  }

  name() {
    this.tables.forEach(([word, grid], at) => {
      say(this.titles[at], t(word));
      grid.rename();
    });
  }

  show() {
    for (const [section, grid] of this.tables) grid.set([...this.store[section].values()]);
  }
}
