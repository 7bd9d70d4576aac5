// The balancer's address: commands, and the stream of differences. The token goes in a header.
const KEY = "penstock-token";
const SILENT_MS = 30000; // frames come at least every ten seconds
let token = sessionStorage.getItem(KEY) ?? "";

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

export function showToken(value) {
  token = value;
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}

export async function ask(path, body, signal) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const given = { headers, signal, cache: "no-store", credentials: "omit", redirect: "error" };
  if (body !== undefined) {
    given.method = "POST";
    given.body = JSON.stringify(body);
    headers["Content-Type"] = "application/json";
  }
  const answer = await fetch(`api/v1/${path}`, given);
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    throw new Refused(answer.status, said.error ?? `${answer.status}`);
  }
  return answer;
}

// Tells `on` of every message until the page is hidden or the connection ends.
export async function listen(on, signal) {
  const silence = new AbortController();
  const both = AbortSignal.any([signal, silence.signal]);
  const answer = await ask("stream", undefined, both);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const timer = setTimeout(() => silence.abort(), SILENT_MS);
    const { value, done } = await reader.read().finally(() => clearTimeout(timer));
    if (done) return;
    held += value;
    for (let end = held.indexOf("\n\n"); end >= 0; end = held.indexOf("\n\n")) {
      const [first, second] = held.slice(0, end).split("\n");
      held = held.slice(end + 2);
      on(first.slice("event: ".length), JSON.parse(second.slice("data: ".length)));
    }
  }
}
