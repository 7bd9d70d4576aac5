// What can be done to an endpoint: asked first, told what will happen, done, and undone.
import { title } from "./endpoints.js";
import { ask } from "./stream.js";
import { el, number, percent, whole } from "./text.js";
import { stateWord, t } from "./words.js";

const TOAST_MS = 15000;

export function actionsOn(store, access) {
  const dialog = document.getElementById("dialog");
  const toasts = document.getElementById("toasts");
  let last = null; // what would be undone

  const others = (endpoint) => [...store.endpoints.values()].filter((each) =>
    each.pool === endpoint.pool && each.key !== endpoint.key && each.available);

  function toast(text, undo) {
    const bar = el("div", { class: "toast" }, el("span", {}, text));
    const gone = () => bar.remove();
    if (undo) {
      last = async () => { last = null; gone(); await undo(); };
      const mine = last;
      bar.append(el("button", { type: "button", onclick: mine }, t("undo")));
    }
    toasts.append(bar);
    while (toasts.children.length > 3) toasts.firstChild.remove();
    setTimeout(gone, TOAST_MS);
  }

  async function give(command, body, done, undo) {
    try {
      await ask(command, body);
      toast(done, undo);
    } catch (error) {
      toast(t("refused", error.message));
    }
  }

  // Calls `run` when it is confirmed.
  function confirm(heading, parts, word, run, danger) {
    const form = el("form", { method: "dialog" },
      el("h2", {}, heading), parts,
      el("div", { class: "buttons" },
        el("button", { type: "button", onclick: () => dialog.close() }, t("cancel")),
        el("button", { type: "submit", class: danger ? "danger" : "main", id: "confirm" }, word)));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      dialog.close();
      run();
    });
    dialog.replaceChildren(form);
    dialog.showModal();
    (form.querySelector("input") ?? form.querySelector("#confirm")).focus();
  }

  const named = (endpoint) => ({ pool: endpoint.pool, endpoint: endpoint.name });
  const lines = (texts) => el("ul", {}, texts.map((text) => el("li", {}, text)));

  // What becomes of its requests once it gets none.
  function consequences(endpoint) {
    if (!endpoint.available) return [t("drain_not", stateWord(endpoint.state))];
    const left = others(endpoint);
    if (!left.length) return [t("drain_last", endpoint.pool)];
    const rate = left.reduce((sum, each) => sum + each.rate, 0);
    return [t("drain_2", number(endpoint.rate), whole(left.length), endpoint.pool,
      number((rate + endpoint.rate) / left.length), number(rate / left.length))];
  }

  function drain(endpoint) {
    const name = title(endpoint);
    const last = endpoint.available && !others(endpoint).length;
    const told = [t("drain_1", whole(endpoint.in_flight)), ...consequences(endpoint), t("drain_3")];
    confirm(t("drain_title", name), lines(told), t("drain"), () => {
      const undo = () => give("undrain", named(endpoint), t("undone", t("undrained", name)));
      return give("drain", named(endpoint), t("drained", name), undo);
    }, last);
  }

  function undrain(endpoint) {
    const name = title(endpoint);
    const pool = store.pools.get(endpoint.pool);
    confirm(t("undrain_title", name), lines([t("undrain_1", number(pool?.rate ?? 0), endpoint.pool)]), t("undrain"), () => {
      const undo = () => give("drain", named(endpoint), t("undone", t("drained", name)));
      return give("undrain", named(endpoint), t("undrained", name), undo);
    });
  }

  function weight(endpoint) {
    const name = title(endpoint);
    const before = endpoint.weight;
    const rest = others(endpoint).reduce((sum, each) => sum + each.effective_weight, 0);
    const share = (value) => (value + rest > 0 ? percent(value / (value + rest)) : percent(0));
    const input = el("input", { type: "number", min: "0", max: "1000000", step: "any", required: true, value: String(before) });
    const told = el("p");
    const tell = () => {
      const value = Number(input.value);
      const text = value > 0 || !input.value ? t("weight_share", endpoint.pool, share(before), share(value)) : t("weight_zero");
      told.replaceChildren(document.createTextNode(text));
    };
    input.addEventListener("input", tell);
    tell();
    const label = el("label", {}, t("weight_now", number(endpoint.configured_weight)), input);
    confirm(t("weight_title", name), [label, told], t("apply"), () => {
      const value = Number(input.value);
      const undo = () => give("weight", { ...named(endpoint), weight: before }, t("undone", t("weighted", name, number(before))));
      return give("weight", { ...named(endpoint), weight: value }, t("weighted", name, number(value)), undo);
    });
  }

  const may = () => access.may === "change";
  const guarded = (run) => (endpoint) => (may() && endpoint ? run(endpoint) : undefined);
  return { may, drain: guarded(drain), undrain: guarded(undrain), weight: guarded(weight), undo: () => last?.(), dialog };
}
