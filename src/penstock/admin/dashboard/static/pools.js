// A card for each pool: what it is asked for, admission, scaling, forecast, and who finds endpoints.
import { Chart } from "./charts.js";
import { duration, el, number, percent, say, span, whole } from "./text.js";
import { stateWord, t } from "./words.js";

const UNITS = { requests: "requests_q", prompt_tokens: "prompt_tokens_q", output_tokens: "output_tokens_q" };

class Card {
  constructor(store, name) {
    this.store = store;
    this.name = name;
    this.heading = el("h2");
    this.pill = el("span", { class: "pill" });
    this.policy = el("span", { class: "muted" });
    this.facts = el("dl", { class: "facts" });
    this.said = el("div");
    this.chart = new Chart("hour", [
      { word: "requests_s", color: "accent", unit: "number", fill: true },
      { word: "error_rate", color: "bad", unit: "number" },
    ], 90);
    this.tokens = new Chart("ttft", [
      { word: "p99", color: "warn", unit: "duration" }, { word: "p50", color: "accent", unit: "duration" },
    ], 90);
    this.element = el("article", { class: "card" },
      el("header", {}, this.heading, this.pill, el("span", { class: "spring" }), this.policy),
      this.facts, this.said, this.chart.element, this.tokens.element);
  }

  show() {
    const pool = this.store.pools.get(this.name);
    say(this.heading, pool.name);
    say(this.policy, `${pool.kind} · ${pool.policy}`);
    const away = Boolean(pool.maintenance_since);
    say(this.pill, away ? t("maintenance") : `${t("available")}: ${t("of", whole(pool.available), whole(pool.endpoints))}`);
    this.pill.className = `pill ${away || !pool.available ? "bad" : pool.available < pool.endpoints ? "warn" : "good"}`;
    const turned = Object.values(pool.refused).reduce((sum, each) => sum + each, 0);
    const facts = [
      ["requests_s", number(pool.rate)],
      ["error_rate", pool.errors ? `${number(pool.errors)} (${percent(pool.error_share)})` : "0"],
      ["in_flight", whole(pool.in_flight)], ["p50", duration(pool.p50)], ["p99", duration(pool.p99)],
      ["ttft", pool.ttft_p50 === null ? null : `${duration(pool.ttft_p50)} · ${duration(pool.ttft_p99)}`],
      ["token_time", pool.token_p50 === null ? null : duration(pool.token_p50)],
      ["tokens_s", pool.output_tokens === null ? null : number(pool.output_tokens)],
      ["cached", pool.cached === null ? null : percent(pool.cached)],
      ["waiting", pool.waiting || pool.queued ? whole(pool.waiting) : null],
      ["queue_p99", pool.queue_p99 === null ? null : duration(pool.queue_p99)],
      ["limit", pool.limit ? number(pool.limit) : null],
      ["refused_n", turned ? whole(turned) : null],
      ["retries", pool.retries ? number(pool.retries) : null],
      ["no_endpoint", pool.no_endpoint ? number(pool.no_endpoint) : null],
      ["client_gone", pool.client_gone ? number(pool.client_gone) : null],
      ["hedges", pool.hedges ? `${number(pool.hedges)} (${t("won", number(pool.hedges_won))})` : null],
      ["resumed", pool.resumed ? number(pool.resumed) : null],
      ["not_resumed", pool.not_resumed ? number(pool.not_resumed) : null],
      ["late_tokens", pool.late_tokens ? number(pool.late_tokens) : null],
      ["ejections", pool.ejections ? whole(pool.ejections) : null],
    ].filter(([, value]) => value !== null);
    this.facts.replaceChildren(...facts.map(([word, value]) => el("div", {}, el("dt", {}, t(word)), el("dd", {}, value))));
    this.said.replaceChildren(...this.lines(pool));
    const series = this.store.hour.pools.get(pool.name);
    this.chart.element.hidden = !series;
    if (series) this.chart.set([this.store.hour.at, series.rate, series.errors]);
    this.tokens.element.hidden = !series?.ttft_p50.some((each) => each !== null);
    if (!this.tokens.element.hidden) this.tokens.set([this.store.hour.at, series.ttft_p99, series.ttft_p50]);
  }

  lines(pool) {
    const said = [];
    const { scale } = pool;
    if (scale) {
      const moving = [scale.starting && t("starting_n", scale.starting), scale.draining && t("draining_n", scale.draining)].filter(Boolean);
      const counts = [t("scale_of", scale.desired, scale.actual), ...moving].join(", ");
      said.push(el("p", { class: "said" }, `${t("scaling")} (${scale.mode}, ${scale.actuator}): ${counts}. ${scale.reason}`));
      if (scale.problem) said.push(el("p", { class: "said bad" }, scale.problem));
    }
    for (const series of pool.forecasts) {
      const ahead = series.ahead.map((each) => t("expected", span(each.ahead_s), `${number(each.mean)}${bounds(each.quantiles)}`));
      said.push(el("p", { class: "said" }, `${t("forecast")}, ${t(UNITS[series.quantity] ?? series.quantity)}: ${ahead.join("; ")}`));
    }
    for (const each of pool.discoveries) {
      const tone = each.state === "found" ? "" : each.state === "waiting" ? "warn" : "bad";
      const text = `${t("discovery")} ${each.shown}: ${stateWord(each.state)}, ${t("total", whole(each.endpoints))}${each.reason ? `. ${each.reason}` : ""}`;
      said.push(el("p", { class: `said ${tone}` }, text));
    }
    return said;
  }
}

function bounds(quantiles) {
  const values = Object.entries(quantiles).sort(([a], [b]) => Number(a) - Number(b)).map(([, value]) => value);
  return values.length > 1 ? ` (${number(values[0])}–${number(values[values.length - 1])})` : "";
}

export class Pools {
  constructor(store) {
    this.store = store;
    this.cards = new Map();
    this.element = el("div", { class: "panel cards" });
  }

  name() {}

  show() {
    for (const [name, card] of this.cards) {
      if (this.store.pools.has(name)) continue;
      card.chart.end();
      card.tokens.end();
      card.element.remove();
      this.cards.delete(name);
    }
    for (const name of this.store.pools.keys()) {
      if (!this.cards.has(name)) {
        const card = new Card(this.store, name);
        this.cards.set(name, card);
        this.element.append(card.element);
      }
      this.cards.get(name).show();
    }
  }
}
