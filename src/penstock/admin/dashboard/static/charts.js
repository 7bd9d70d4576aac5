// Charts of uPlot, and the small lines of tables. Their colours are the page's.
import { duration, el, number, say } from "./text.js";
import { language, t } from "./words.js";

const charts = new Set();

// Resolves light-dark() as the page has it.
function painted(name) {
  const probe = document.body.appendChild(el("i", { hidden: true }));
  probe.style.color = `var(--${name})`;
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const UNITS = { number, duration };

export class Chart {
  // series: [{word, color, unit}]
  constructor(title, series, height = 104) {
    this.series = series;
    this.height = height;
    this.values = series.map(() => el("span"));
    this.title = el("b");
    this.box = el("div");
    this.word = title;
    this.element = el(
      "div", { class: "chart" },
      el("div", { class: "head" }, this.title,
        series.map((each, index) => el("span", { class: `key ${each.color}` }, this.values[index]))),
      this.box,
    );
    this.data = null;
    this.plot = null;
    this.watch = new ResizeObserver(() => this.fit());
    this.watch.observe(this.box);
    charts.add(this);
  }

  set(data) {
    this.data = data.map((row) => row.slice());
    say(this.title, t(this.word));
    if (this.box.clientWidth) {
      if (this.plot) this.plot.setData(this.data);
      else this.draw();
    }
    this.tell();
  }

  // The newest values, or those under the pointer.
  tell() {
    if (!this.data) return;
    const at = this.plot?.cursor.idx ?? this.data[0].length - 1;
    this.series.forEach((each, index) => {
      say(this.values[index], `${t(each.word)} ${UNITS[each.unit](this.data[index + 1][at] ?? null)}`);
    });
  }

  fit() {
    if (this.plot && this.box.clientWidth) this.plot.setSize({ width: this.box.clientWidth, height: this.height });
    else if (this.data) this.set(this.data);
  }

  draw() {
    const muted = painted("muted");
    const line = painted("line");
    const font = "11px system-ui, sans-serif";
    const unit = UNITS[this.series[0].unit];
    const spell = (parts) => new Intl.DateTimeFormat(language(), { ...parts, hourCycle: "h23" });
    const hours = spell({ hour: "2-digit", minute: "2-digit" });
    const seconds = spell({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
    this.plot = new window.uPlot({
      width: this.box.clientWidth, height: this.height, padding: [10, 8, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 5 } },
      hooks: { setCursor: [() => this.tell()] },
      scales: { x: { time: true, range: (_, least, most) => [Math.min(least, most - 60), most] }, y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] } },
      axes: [
        { stroke: muted, font, size: 22, gap: 3, grid: { show: false }, ticks: { show: false },
          values: (_, at, __, ___, step) => at.map((each) => (step < 60 ? seconds : hours).format(each * 1000)), space: 80 },
        { stroke: muted, font, size: 52, gap: 4, grid: { stroke: line, width: 1 }, ticks: { show: false },
          values: (_, at) => at.map((each) => (each ? unit(each) : "0")), space: 28 },
      ],
      series: [{}, ...this.series.map((each) => {
        const stroke = painted(each.color);
        return { stroke, width: 1.6, spanGaps: false, points: { show: false },
          fill: each.fill ? stroke.replace(/^rgb\((.*)\)$/, "rgba($1, 0.12)") : undefined };
      })],
    }, this.data, this.box);
  }

  forget() {
    this.plot?.destroy();
    this.plot = null;
  }

  end() {
    this.forget();
    this.watch.disconnect();
    charts.delete(this);
  }
}

// After the theme or the language changed.
export function redraw() {
  strokes.clear();
  for (const chart of charts) {
    chart.forget();
    if (chart.data) chart.set(chart.data);
  }
}

const strokes = new Map();

export function sparkline(canvas, values, name = "accent") {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (!width) return;
  if (canvas.width !== Math.round(width * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  if (!strokes.has(name)) strokes.set(name, painted(name));
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  const most = Math.max(1e-9, ...values.map((value) => value ?? 0));
  const step = (width - 2) / 119;
  const first = width - 1 - (values.length - 1) * step;
  pen.beginPath();
  let begun = false;
  values.forEach((value, index) => {
    if (value === null) {
      begun = false;
      return;
    }
    const x = first + index * step;
    const y = height - 2 - (value / most) * (height - 4);
    if (begun) pen.lineTo(x, y);
    else pen.moveTo(x, y);
    begun = true;
  });
  pen.strokeStyle = strokes.get(name);
  pen.lineWidth = 1.4;
  pen.lineJoin = "round";
  pen.stroke();
}
