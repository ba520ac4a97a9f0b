// Charts as strings of SVG: pure functions of rows and a frame.

const LEFT = 44, RIGHT = 10, HEAD = 18, DASH = { area: "▬", line: "—", dashed: "╌" };
const STACK = ["busy", "draining", "idle", "booting"];

const escape_ = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

function nice(value) {
  if (value <= 1e-9) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return power * [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((step) => power * step >= value * 0.9999);
}

// Of each stretch of time the lowest, the highest and the last point, if there are too many.
function thin(rows, value, most) {
  if (rows.length <= most) return rows;
  const begin = rows[0][0], span = Math.max(rows.at(-1)[0] - begin, 1e-9), kept = [];
  let bucket = [], number = 0;
  const close = () => {
    if (!bucket.length) return;
    let low = 0, high = 0;
    bucket.forEach((row, i) => { if (value(row) < value(bucket[low])) low = i; if (value(row) > value(bucket[high])) high = i; });
    for (const i of [...new Set([low, high, bucket.length - 1])].sort((a, b) => a - b)) kept.push(bucket[i]);
    bucket = [];
  };
  for (const row of rows) {
    const here = Math.floor((row[0] - begin) / span * (most / 3));
    if (here !== number) { close(); number = here; }
    bucket.push(row);
  }
  close();
  return kept;
}

function frame(width, top, height, begin, end, most) {
  const inner = Math.max(50, width - LEFT - RIGHT), span = Math.max(end - begin, 1e-9);
  return {
    width, top, height, begin, end, most, right: LEFT + inner,
    x: (at) => LEFT + inner * Math.min(1, Math.max(0, (at - begin) / span)),
    y: (value) => top + height * (1 - Math.min(1, Math.max(0, value / most))),
  };
}

const place = (f, [at, value]) => `${f.x(at).toFixed(1)},${f.y(value).toFixed(1)}`;
const polygon = (f, upper, lower, kind, more = "") =>
  `<polygon class="${kind}" ${more} points="${[...upper, ...[...lower].reverse()].map((p) => place(f, p)).join(" ")}"/>`;
const polyline = (f, points, kind) => `<polyline class="${kind}" points="${points.map((p) => place(f, p)).join(" ")}"/>`;
const label = (x, y, text, kind, anchor = "start") => `<text class="${kind}" x="${x}" y="${y}" text-anchor="${anchor}">${escape_(text)}</text>`;

// The corners of a line on which each value holds until the next point.
function steps(points) {
  const corners = [];
  for (const [at, value] of points) {
    if (corners.length && corners.at(-1)[1] !== value) corners.push([at, corners.at(-1)[1]]);
    corners.push([at, value]);
  }
  return corners;
}

// The stretches of rows of which everything is known: a cut or a missing value begins another.
function stretches(rows, column) {
  const found = [[]];
  for (const row of rows) {
    const isMissing = column !== undefined && row[column] === null;
    if ((row[1] || isMissing) && found.at(-1).length) found.push([]);
    if (!isMissing) found.at(-1).push(row);
  }
  return found.filter((run) => run.length);
}

function axis(f) {
  const line = (y) => `<line class="modalnb-grid" x1="${LEFT}" x2="${f.right}" y1="${y}" y2="${y}"/>`;
  return line(f.y(0)) + line(f.y(f.most)) + label(LEFT - 6, f.y(0) + 1, "0", "modalnb-tick", "end") +
    label(LEFT - 6, f.y(f.most) + 7, f.most.toLocaleString("en"), "modalnb-tick", "end");
}

function head(f, title, entries) {
  const spans = entries.map(([sign, kind, words]) => `<tspan class="${kind}">${sign}</tspan> ${escape_(words)}`);
  return label(LEFT, 12, title, "modalnb-name") +
    `<text class="modalnb-now" x="${f.right}" y="12" text-anchor="end">${spans.join("\u2003")}</text>`;
}

const shown = (value) => value === null || value === undefined ? "–" :
  value.toLocaleString("en", { maximumFractionDigits: value < 1 ? 2 : value < 10 ? 1 : 0 });

// Containers by state inside the band of min and max, with the buffer hatched, and marks.
function containersChart(rows, marks, column, signs, key, width, begin, end, height = 104) {
  const get = (row, name) => row[column[name]], total = (row) => STACK.reduce((sum, name) => sum + get(row, name), 0);
  const last = rows.at(-1);
  const highest = Math.max(0, ...rows.map((row) => Math.max(total(row), get(row, "minimum"))));
  const bound = get(last, "maximum");
  const most = Math.max(4, nice(Math.max(highest, bound !== null && bound <= Math.max(4, 2 * highest) ? bound : 0) + 0.5));
  const f = frame(width, HEAD + 12, height, begin, end, most);
  const few = thin(rows, total, width);
  const capOf = (row) => get(row, "maximum") ?? most;
  const upper = steps(few.map((row) => [row[0], capOf(row)])), lower = steps(few.map((row) => [row[0], get(row, "minimum")]));
  let body = `<defs><pattern id="${key}" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">` +
    `<line class="modalnb-hatch" x1="0" y1="0" x2="0" y2="6"/></pattern></defs>` + polygon(f, upper, lower, "modalnb-band");
  if (bound !== null && bound <= most) body += polyline(f, upper, "modalnb-bound");
  if (rows.some((row) => get(row, "minimum"))) body += polyline(f, lower, "modalnb-bound");
  for (const run of stretches(few)) {
    let below = run.map(() => 0);
    const edge = (values) => steps(run.map((row, i) => [row[0], values[i]]));
    for (const name of STACK) {
      const above = run.map((row, i) => below[i] + get(row, name));
      if (above.some((value, i) => value !== below[i])) body += polygon(f, edge(above), edge(below), `modalnb-state modalnb-${name}`);
      below = above;
    }
    const low = run.map((row) => get(row, "busy") + get(row, "draining"));
    const high = run.map((row, i) => Math.max(low[i], Math.min(low[i] + get(row, "buffer"), capOf(row))));
    if (high.some((value, i) => value > low[i])) body += polygon(f, edge(high), edge(low), "modalnb-buffer", `fill="url(#${key})"`);
  }
  const entries = STACK.filter((name) => get(last, name)).map((name) => [signs.states[name][1], `modalnb-${name}`, `${get(last, name)} ${name}`]);
  body += axis(f) + head(f, "containers", entries.length ? entries : [["", "", "none"]]) + marksOf(f, marks, signs);
  return { body, height: f.top + height + 6, title: `containers over time; now ${entries.map((e) => e[2]).join(", ") || "none"}`, f };
}

// Marks that would lie on each other are one, and tell how many they are.
function marksOf(f, marks, signs) {
  const groups = [];
  for (const mark of marks) {
    if (mark.at < f.begin || mark.at > f.end) continue;
    const x = f.x(mark.at), near = groups.findLast((group) => group.kind === mark.kind);
    if (near && x - near.x < 7) near.texts.push(mark.text); else groups.push({ kind: mark.kind, x, texts: [mark.text] });
  }
  return groups.map(({ kind, x, texts }) => {
    const [sign, name] = signs.marks[kind], more = texts.length > 3 ? ` … and ${texts.length - 3} more` : "";
    return `<g class="modalnb-mark modalnb-${kind}"><title>${escape_(`${name}: ${texts.slice(0, 3).join("; ")}${more}`)}</title>` +
      `<line x1="${x}" x2="${x}" y1="${f.top - 2}" y2="${f.y(0)}"/>` + label(x, f.top - 3, sign, "modalnb-sign", "middle") + "</g>";
  }).join("");
}

// A chart of lines; `lines` are {column, label, kind}.  A note stands beside the legend, or in its place.
function linesChart(rows, lines, title, width, begin, end, height, { most, note, isOnly } = {}) {
  const values = lines.flatMap((line) => rows.map((row) => row[line.column] ?? 0));
  const f = frame(width, HEAD, height, begin, end, most ?? nice(values.reduce((a, b) => Math.max(a, b), 0)));
  let body = "";
  lines.forEach((line, n) => {
    for (const run of stretches(thin(rows, (row) => row[line.column] ?? -1, width), line.column)) {
      const points = run.map((row) => [row[0], row[line.column]]);
      if (line.kind === "area") body += polygon(f, points, points.map(([at]) => [at, 0]), `modalnb-area modalnb-c${n}`);
      body += polyline(f, points, `modalnb-${line.kind === "dashed" ? "dashed" : "line"} modalnb-c${n}`);
    }
  });
  const now = lines.map((line) => `${line.label} ${shown(rows.at(-1)?.[line.column])}`.trim());
  const entries = isOnly ? [] : lines.map((line, n) => [DASH[line.kind], `modalnb-c${n}`, now[n]]);
  body += axis(f) + head(f, title, note ? [...entries, ["", "", note]] : entries);
  return { body, height: HEAD + height + 4, title: `${title} over time; now ${now.join(", ")}`, f };
}

function timeAxis(width, begin, end, date) {
  const f = frame(width, 0, 4, begin, end, 1), count = Math.max(2, Math.floor(width / 110));
  const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200].find((s) => (end - begin) / s <= count) ?? 14400;
  const zone = date(0).getTimezoneOffset() * 60, first = date(begin).getTime() / 1000 - zone;
  let body = "";
  for (let at = begin + (step - first % step); at <= end; at += step) {
    const x = f.x(at), anchor = x > f.right - 24 ? "end" : "middle";
    body += `<line class="modalnb-grid" x1="${x}" x2="${x}" y1="0" y2="3"/>` + label(x, 13, clockTime(date(at)), "modalnb-tick", anchor);
  }
  return { body, height: 16, title: "time axis", f };
}

const clockTime = (date) => date.toTimeString().slice(0, 8);
