
// Draws the charts of a report: each figure has its data beside its place, and a legend.
{
  const HEIGHT = 280;
  const FONT = "12px system-ui, sans-serif";

  const three = (value) => (Math.abs(value) >= 100
    ? value.toLocaleString("en", { maximumFractionDigits: 0 })
    : value.toLocaleString("en", { maximumSignificantDigits: 3 }));
  const duration = (seconds) => {
    const size = Math.abs(seconds);
    if (size === 0) return "0 s";
    if (size < 0.001) return `${three(seconds * 1e6)} µs`;
    return size < 1 ? `${three(seconds * 1e3)} ms` : `${three(seconds)} s`;
  };
  const formats = {
    number: three,
    duration,
    days: (seconds) => (seconds >= 86400 ? `${(seconds / 86400).toFixed(1)} d` : duration(seconds)),
    percent: (share) => `${three(share * 100)}%`,
    nines: (share) => share.toLocaleString("en", { maximumFractionDigits: 10 }),
    rate: (value) => `${three(value)}/s`,
  };

  // Canvases know no variables of styles, nor light-dark().
  const painted = (name) => {
    const probe = document.body.appendChild(document.createElement("i"));
    probe.style.color = `var(--${name})`;
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };

  const xRange = (axis, first) => (_, least, most) => {
    const from = axis.from_zero && !axis.logarithmic && least <= first ? Math.min(0, least) : least;
    return most > from ? [from, most] : [from, from + 1];
  };
  const yRange = (axis) => {
    if (axis.logarithmic) return undefined;
    return (_, least, most) => {
      if (!axis.from_zero) return uPlot.rangeNum(least, most, 0.1, true);
      return [Math.min(0, least * 1.05), most > 0 ? most * 1.05 : 1];
    };
  };
  const scale = (axis, range) => ({ time: false, distr: axis.logarithmic ? 3 : 1, log: 10, range });
  const labelled = (axis) => (_, at) => at.map((each) => (
    each === null || (axis.whole && !Number.isInteger(each)) ? "" : formats[axis.unit](each)));

  const draw = (figure) => {
    const given = JSON.parse(figure.querySelector("script").textContent);
    const place = figure.querySelector(".drawing");
    const told = [...figure.querySelectorAll(".legend output")];
    const [muted, line] = [painted("muted"), painted("line")];
    const tell = (plot) => {
      const at = plot.cursor.idx;
      told.forEach((each, index) => {
        const value = at === null || at === undefined ? null : given.data[index + 1][at];
        each.textContent = value === null ? "" : formats[given.y.unit](value);
      });
    };
    const axis = (of, more) => ({
      stroke: muted, font: FONT, grid: { stroke: line, width: 1 }, ticks: { show: false },
      values: labelled(of), ...more,
    });
    return new uPlot({
      width: place.clientWidth, height: HEIGHT, padding: [10, 14, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { size: 6 } },
      hooks: { setCursor: [tell] },
      scales: {
        x: scale(given.x, xRange(given.x, given.data[0][0])),
        y: scale(given.y, yRange(given.y)),
      },
      axes: [
        axis(given.x, { label: given.x.label, labelFont: FONT, labelSize: 18, size: 26, space: 70 }),
        axis(given.y, { size: 66, space: 34 }),
      ],
      series: [{}, ...given.curves.map((curve) => {
        const stroke = painted(`c${curve.colour}`);
        return {
          stroke, width: curve.marks ? 0 : 1.8, dash: curve.dashed ? [6, 4] : undefined,
          spanGaps: true, paths: curve.marks ? () => null : undefined,
          points: { show: curve.dots || curve.marks, size: 7, fill: stroke, stroke, space: 0 },
        };
      })],
    }, given.data, place);
  };

  const plots = new Map();
  const drawAll = () => {
    for (const plot of plots.values()) plot.destroy();
    for (const figure of document.querySelectorAll("figure")) plots.set(figure, draw(figure));
  };
  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  const sizes = new ResizeObserver(() => {
    for (const [figure, plot] of plots) {
      const width = figure.querySelector(".drawing").clientWidth;
      if (width && width !== plot.width) plot.setSize({ width, height: HEIGHT });
    }
  });
  for (const figure of plots.keys()) sizes.observe(figure);
}
