// What the balancer said last, and a bounded past of it for lines.
const SECTIONS = ["balancer", "pools", "endpoints", "workers", "tenants", "limits"];
const POINTS = 120; // of an endpoint, a second apart
const HOUR = 720; // of a pool, five seconds apart
const STEP_S = 5;
const EVENTS = 500;
const LINES = ["rate", "errors", "in_flight", "p99", "first_byte", "kv", "queue", "tokens"];
const SERIES = ["rate", "errors", "in_flight", "p50", "p99", "ttft_p50", "ttft_p99", "output_tokens"];

export class Store {
  constructor() {
    this.clear();
  }

  clear() {
    for (const name of SECTIONS) this[name] = new Map();
    this.at = 0;
    this.skew = 0; // of this machine's clock, in seconds
    this.events = [];
    this.eventsSeen = 0; // grows with every event
    this.lines = new Map(); // by endpoint: arrays by LINES
    this.hour = { at: [], pools: new Map() };
  }

  get balance() {
    return this.balancer.get("") ?? null;
  }

  now() {
    return Date.now() / 1000 - this.skew;
  }

  take(kind, message) {
    if (kind === "whole") this.begin(message);
    this.at = message.at;
    this.skew = Date.now() / 1000 - message.at;
    for (const name of SECTIONS) {
      for (const [key, fields] of Object.entries(message[name] ?? {})) {
        const known = this[name].get(key);
        if (known) Object.assign(known, fields);
        else this[name].set(key, { key, ...fields });
      }
      for (const key of message.gone?.[name] ?? []) this[name].delete(key);
    }
    if (message.events) {
      this.events = this.events.concat(message.events).slice(-EVENTS);
      this.eventsSeen += message.events.length;
    }
    this.remember();
  }

  begin(message) {
    for (const name of SECTIONS) this[name] = new Map();
    this.events = [];
    this.hour = { at: message.history.at, pools: new Map(Object.entries(message.history.pools)) };
  }

  remember() {
    for (const [key, endpoint] of this.endpoints) {
      let lines = this.lines.get(key);
      if (!lines || lines.name !== endpoint.name) {
        lines = { name: endpoint.name, at: [] };
        for (const each of LINES) lines[each] = [];
        this.lines.set(key, lines);
      }
      push(lines.at, this.at, POINTS);
      for (const each of LINES) push(lines[each], endpoint[each] ?? null, POINTS);
    }
    for (const key of this.lines.keys()) if (!this.endpoints.has(key)) this.lines.delete(key);
    const { at, pools } = this.hour;
    if (at.length && this.at - at[at.length - 1] < STEP_S) return;
    for (const name of pools.keys()) if (!this.pools.has(name)) pools.delete(name);
    for (const [name, pool] of this.pools) {
      let series = pools.get(name);
      if (!series) {
        series = Object.fromEntries(SERIES.map((each) => [each, at.map(() => null)]));
        pools.set(name, series);
      }
      for (const each of SERIES) push(series[each], pool[each] ?? null, HOUR);
    }
    push(at, this.at, HOUR);
  }

  // A series of all pools: their sum, or of times the longest.
  hourOf(series, longest = false) {
    const rows = [...this.hour.pools.values()].map((each) => each[series]);
    return this.hour.at.map((_, index) => {
      const values = rows.map((row) => row[index]).filter((value) => value !== null && value !== undefined);
      if (!values.length) return null;
      return longest ? Math.max(...values) : values.reduce((sum, value) => sum + value, 0);
    });
  }
}

function push(ring, value, most) {
  ring.push(value);
  if (ring.length > most) ring.shift();
}
