// Text and numbers as people read them. Nothing here, nor anywhere else, makes markup of text.
import { language } from "./words.js";

// Control, format, private and unassigned characters would move the cursor, hide or turn text.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;

export function visible(text) {
  return String(text).replace(UNSEEN, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

// An element with text or elements in it: el("td", {class: "number"}, "12").
export function el(tag, given = {}, ...inside) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  for (const part of inside.flat()) {
    if (part === null || part === undefined || part === false) continue;
    made.append(part instanceof Node ? part : document.createTextNode(visible(part)));
  }
  return made;
}

export function say(element, text) {
  const shown = visible(text);
  if (element.textContent !== shown) element.textContent = shown;
}

const NONE = "–";
const three = () => new Intl.NumberFormat(language(), { maximumSignificantDigits: 3 });
let formats = { of: "" };

function format(name, options) {
  if (formats.of !== language()) formats = { of: language() };
  return (formats[name] ??= new Intl.NumberFormat(language(), options));
}

export function number(value) {
  if (value === null || value === undefined) return NONE;
  if (Math.abs(value) >= 10000) {
    return format("compact", { notation: "compact", maximumSignificantDigits: 3 }).format(value);
  }
  return format("plain", { maximumSignificantDigits: 3 }).format(value);
}

export function whole(value) {
  return value === null || value === undefined ? NONE : format("whole", { maximumFractionDigits: 0 }).format(value);
}

export function percent(value) {
  if (value === null || value === undefined) return NONE;
  const digits = value > 0 && value < 0.1 ? 1 : 0;
  return format(`percent${digits}`, { style: "percent", maximumFractionDigits: digits }).format(value);
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  if (seconds === 0) return "0";
  if (seconds < 0.001) return `${three().format(seconds * 1e6)} µs`;
  if (seconds < 1) return `${three().format(seconds * 1e3)} ms`;
  if (seconds < 120) return `${three().format(seconds)} s`;
  return span(seconds);
}

const SPANS = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];

// A long time, in one unit.
export function span(seconds) {
  const [size, unit] = SPANS.find(([least]) => seconds >= 2 * least) ?? SPANS[3];
  const rounded = Math.max(0, Math.floor(seconds / size));
  return format(unit, { style: "unit", unit, unitDisplay: "short" }).format(rounded);
}

export function bytes(value) {
  for (const [size, unit] of [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]]) {
    if (value >= size) return `${three().format(value / size)} ${unit}/s`;
  }
  return `${three().format(value)} B/s`;
}

export function clock(at) {
  return new Date(at * 1000).toLocaleTimeString(language(), { hourCycle: "h23" });
}

export function day(at) {
  return new Date(at * 1000).toLocaleString(language(), { hourCycle: "h23" });
}
