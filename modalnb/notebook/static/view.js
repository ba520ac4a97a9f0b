// The view: builds its elements once, then draws what is in the store, at most once a frame.

const WINDOWS = [["1 min", 60], ["5 min", 300], ["15 min", 900], ["all", Infinity]];
const SPEAK_MS = 5000;
let numbers = 0;

function make(tag, kind, parent, attributes = {}) {
  const node = document.createElement(tag);
  if (kind) node.className = kind;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  parent?.append(node);
  return node;
}
function put(node, text) { if (node.textContent !== text) node.textContent = text; }
// Jupyter's own keys win over a focused element that does not carry this itself.
const keys = { "data-lm-suppress-shortcuts": "true" };
const chosen = (model, store) => store.pools.get(model.get("selected")) ?? store.pools.values().next().value;

class View {
  constructor(model, store, el) {
    Object.assign(this, { model, store, el, cursor: null, open: null, number: ++numbers, spoken: 0 }, store.look);
    this.svgs = new Map(); this.tiles = new Map();
    const board = this.board = make("div", "modalnb-board", el, { role: "group", "aria-label": "modalnb dashboard" });
    const head = make("div", "modalnb-head", board);
    this.name = make("b", "", head);
    this.badge = make("span", "modalnb-badge", head);
    make("span", "modalnb-spacer", head);
    const spans = make("span", "modalnb-group", head, { role: "group", "aria-label": "time shown" });
    this.spans = WINDOWS.map(([text, seconds]) => this.button(spans, text, () => { store.look.span = this.span = seconds; }));
    this.tableButton = this.button(head, "table", () => { store.look.isTable = this.isTable = !this.isTable; });
    this.tabs = make("div", "modalnb-pools", board, { role: "group", "aria-label": "functions" });
    this.figures = make("div", "modalnb-figures", board);
    this.charts = make("div", "modalnb-charts", board, {
      tabindex: 0, role: "group", "aria-label": "charts; left and right move the cursor, escape takes it away", ...keys });
    this.tip = make("div", "modalnb-tip", this.charts, { role: "status", hidden: "" });
    this.table = make("div", "modalnb-scroll", board);
    this.why = make("p", "modalnb-why", board);
    make("b", "", this.why).textContent = "why";
    this.reason = make("span", "", this.why);
    this.strip = make("div", "modalnb-strip", board, { role: "group", "aria-label": "containers; enter shows what one printed" });
    this.log = make("section", "modalnb-log", board, { hidden: "" });
    this.batches = make("div", "modalnb-batches", board);
    this.devices = make("div", "modalnb-devices", board);
    this.nogpu = make("p", "modalnb-nogpu", board);
    this.gauges = make("div", "modalnb-gauges", board);
    this.cost = make("p", "modalnb-cost", board);
    this.speech = make("div", "modalnb-hidden", board, { "aria-live": "polite" });
    this.listen();
  }

  button(parent, text, action) {
    const node = make("button", "", parent, { type: "button", ...keys });
    node.textContent = text;
    node.addEventListener("click", () => { action(); this.draw(); });
    return node;
  }

  listen() {
    this.charts.addEventListener("pointermove", (event) => this.point(event.clientX));
    this.charts.addEventListener("pointerleave", () => { this.cursor = null; this.drawCursor(); });
    this.charts.addEventListener("keydown", (event) => this.onChartKey(event));
    this.strip.addEventListener("keydown", (event) => this.onStripKey(event));
    this.onNews = (kind) => {
      if (kind === "copy" && this.store.copied) navigator.clipboard?.writeText(this.store.copied).catch(() => {});
      this.ask();
    };
    this.store.listeners.add(this.onNews);
    this.onSelect = () => this.ask();
    this.model.on("change:selected", this.onSelect);
    this.sizes = new ResizeObserver(() => this.ask());
    this.sizes.observe(this.charts);
    this.timer = setInterval(() => this.ask(), 1000);
    this.ask();
  }

  close() {
    clearInterval(this.timer); this.sizes.disconnect(); this.store.listeners.delete(this.onNews);
    this.model.off("change:selected", this.onSelect);
  }

  ask() {
    if (this.isAsked) return;
    this.isAsked = true;
    requestAnimationFrame(() => { this.isAsked = false; this.draw(); });
  }

  draw() {
    const { store } = this, pool = chosen(this.model, store);
    this.adopt();
    this.drawHead();
    this.board.dataset.points = pool?.ring.rows.length ?? 0;
    if (!pool || !pool.ring.rows.length) return;
    this.drawTabs(pool);
    this.drawFigures(pool);
    this.drawCharts(pool);
    this.drawTable(pool);
    put(this.reason, pool.why);
    this.drawStrip(pool);
    this.drawLog();
    this.drawBatches(pool);
    put(this.nogpu, store.devices.size ? "" : store.nogpu);
    this.drawGauges(pool);
    put(this.cost, pool.cost);
    if (performance.now() - this.spoken > SPEAK_MS) { this.spoken = performance.now(); put(this.speech, pool.summary); }
  }

  // The sliders and boxes beside us are other people's: give them a name, and the arrow keys.
  adopt() {
    for (const parameter of this.el.closest(".modalnb-root")?.querySelectorAll(".modalnb-parameter") ?? []) {
      const text = parameter.querySelector(".modalnb-parameter-name")?.textContent.trim();
      for (const node of parameter.querySelectorAll(".noUi-handle, .widget-text input")) {
        if (text && node.getAttribute("aria-label") !== text) node.setAttribute("aria-label", text);
        if (!node.dataset.lmSuppressShortcuts) node.dataset.lmSuppressShortcuts = "true";
      }
    }
  }

  drawHead() {
    const { store } = this, isLost = store.isLost();
    put(this.name, store.name ?? "");
    const since = clockTime(store.date(store.now));
    put(this.badge, isLost ? (store.now ? `disconnected since ${since}` : "connecting") : "live");
    this.badge.className = `modalnb-badge ${isLost ? "modalnb-lost" : "modalnb-live"}`;
    this.board.classList.toggle("modalnb-old", isLost);
    this.spans.forEach((node, i) => node.setAttribute("aria-pressed", WINDOWS[i][1] === this.span));
    this.tableButton.setAttribute("aria-pressed", this.isTable);
  }

  drawTabs(pool) {
    const pools = [...this.store.pools.values()];
    this.tabs.hidden = pools.length < 2;
    while (this.tabs.children.length > pools.length) this.tabs.lastChild.remove();
    pools.forEach((each, i) => {
      const node = this.tabs.children[i] ?? this.button(this.tabs, "", () => {
        this.model.set("selected", this.tabs.children[i].dataset.id); this.model.save_changes(); });
      node.dataset.id = each.id;
      put(node, `${each.name} · ${each.brief}`);
      node.setAttribute("aria-pressed", each === pool);
    });
  }

  drawFigures(pool) {
    while (this.figures.children.length > pool.figures.length) this.figures.lastChild.remove();
    pool.figures.forEach(([name, value], i) => {
      const node = this.figures.children[i] ?? make("div", "modalnb-figure", this.figures);
      if (!node.children.length) { make("b", "", node); make("span", "", node); }
      put(node.children[0], value); put(node.children[1], name);
    });
  }

  range(pool) {
    const end = this.store.time(), first = pool.ring.rows[0][0];
    return [Math.max(end - this.span, Math.min(first, end - 10)), end];
  }

  // The rows inside the window, the one before it at its edge, and the last one held until now.
  rowsOf(ring, begin, end) {
    const rows = ring.rows, first = Math.max(0, rows.findIndex((row) => row[0] >= begin));
    const inside = rows.at(-1)[0] < begin ? [] : rows.slice(first);
    const before = inside.length ? rows[first - 1] : rows.at(-1);
    const held = before && !inside[0]?.[1] ? [[begin, before[1], ...before.slice(2)]] : [];
    const last = rows.at(-1);
    return [...held, ...inside, ...(end > last[0] ? [[end, false, ...last.slice(2)]] : [])];
  }

  drawCharts(pool) {
    const { store } = this, { column } = store, width = Math.max(320, this.charts.clientWidth || 640);
    const [begin, end] = this.range(pool), rows = this.rowsOf(pool.ring, begin, end);
    const drawn = new Map();
    drawn.set("containers", containersChart(rows, pool.marks, column, store.signs, `modalnb-hatch-${this.number}`, width, begin, end));
    for (const { title, unit, height, lines, always } of store.charts) {
      const numbered = lines.map((line) => ({ ...line, column: column[line.field] }));
      if (!always && !rows.some((row) => numbered.some((line) => row[line.column]))) continue;
      drawn.set(title, linesChart(rows, numbered, unit ? `${title}, ${unit}` : title, width, begin, end, height));
    }
    for (const device of store.devices.values()) {
      const lines = [{ column: 2, label: "utilization", kind: "area" }, { column: 3, label: "memory", kind: "dashed" }];
      const more = device.error ? { note: `⚠ ${device.error}`, isOnly: true } : { note: device.note };
      drawn.set(device.id, linesChart(this.rowsOf(device.ring, begin, end), lines, `${device.title}, %`, width, begin, end, 40, { most: 100, ...more }));
    }
    drawn.set("time", timeAxis(width, begin, end, (at) => store.date(at)));
    for (const [name, svg] of this.svgs) if (!drawn.has(name)) { svg.remove(); this.svgs.delete(name); }
    for (const [name, { body, height, title }] of drawn) {
      let svg = this.svgs.get(name);
      if (!svg) {
        svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
        svg.setAttribute("class", "modalnb-chart"); svg.setAttribute("role", "img");
        this.svgs.set(name, svg);
      }
      for (const [key, value] of [["width", width], ["height", height], ["viewBox", `0 0 ${width} ${height}`]]) svg.setAttribute(key, value);
      svg.innerHTML = `<title>${escape_(title)}</title>${body}<line class="modalnb-cursor" y1="${name === "time" ? 0 : HEAD}" y2="${height}" visibility="hidden"/>`;
      if (this.charts.children[[...drawn.keys()].indexOf(name)] !== svg) this.charts.insertBefore(svg, this.tip);
    }
    this.frame = drawn.get("time").f; this.rows = rows;
    this.drawCursor();
  }

  point(clientX) {
    const f = this.frame, x = clientX - this.charts.getBoundingClientRect().left;
    if (!f || x < LEFT || x > f.right) { this.cursor = null; } else { this.cursor = f.begin + (x - LEFT) / (f.right - LEFT) * (f.end - f.begin); }
    this.drawCursor();
  }

  onChartKey(event) {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key], f = this.frame;
    if (event.key === "Escape") this.cursor = null;
    else if (way && f) this.cursor = Math.min(f.end, Math.max(f.begin, (this.cursor ?? f.end) + way * (f.end - f.begin) / 60));
    else return;
    event.preventDefault(); event.stopPropagation(); this.drawCursor();
  }

  drawCursor() {
    const f = this.frame, { column, charts } = this.store, at = this.cursor;
    const row = at === null ? null : this.rows?.findLast((each) => each[0] <= at);
    for (const svg of this.svgs.values()) {
      const line = svg.lastChild;
      line.setAttribute("visibility", row ? "visible" : "hidden");
      if (row) { line.setAttribute("x1", f.x(at)); line.setAttribute("x2", f.x(at)); }
    }
    this.tip.hidden = !row;
    if (!row) return;
    const counts = STACK.filter((name) => row[column[name]]).map((name) => `${row[column[name]]} ${name}`);
    const lines = charts.flatMap((chart) => chart.lines.map((line) => [chart, line, row[column[line.field]]])).filter(([chart, , value]) => value || chart.always);
    const named = lines.map(([chart, line, value]) => `${line.name} ${shown(value)} ${chart.unit}`.trimEnd());
    put(this.tip, [clockTime(this.store.date(at)), counts.join(", ") || "no containers", ...named].join("\n"));
    const x = f.x(at);
    this.tip.style.top = `${HEAD + 16}px`;
    this.tip.style.left = x > f.right - 190 ? "" : `${x + 10}px`;
    this.tip.style.right = x > f.right - 190 ? `${f.width - x + 10}px` : "";
  }

  drawTable(pool) {
    this.table.hidden = !this.isTable;
    if (!this.isTable) { this.table.replaceChildren(); return; }
    const { column, charts } = this.store, [begin, end] = this.range(pool);
    const names = [...STACK, ...charts.filter((chart) => chart.always || this.svgs.has(chart.title)).flatMap((chart) => chart.lines.map((line) => line.field))];
    const rows = thin(this.rowsOf(pool.ring, begin, end), (row) => row[column.pending], 45).slice().reverse();
    const cells = rows.map((row) => `<tr><td>${clockTime(this.store.date(row[0]))}</td>${names.map((name) => `<td>${shown(row[column[name]])}</td>`).join("")}</tr>`);
    this.table.innerHTML = `<table class="modalnb-table"><tr><th>time</th>${names.map((name) => `<th>${name.replace("_", " ")}</th>`).join("")}</tr>${cells.join("")}</table>`;
  }

  drawStrip(pool) {
    const { signs } = this.store, now = this.store.time(), present = new Set(), isWide = pool.containers.length <= 24;
    for (const [id, state, running, cpu, memory, until, gpus] of pool.containers) {
      present.add(id);
      let tile = this.tiles.get(id);
      if (!tile) {
        tile = make("button", "", this.strip, { type: "button", tabindex: -1, ...keys });
        tile.append(make("b"), make("span"), make("small"));
        tile.addEventListener("click", () => this.toggleLog(id));
        this.tiles.set(id, tile);
      }
      const [letter, shape] = signs.states[state], left = until === null ? null : Math.max(0, until - now);
      const words = state === "idle" && left !== null ? `${left < 10 ? left.toFixed(1) : Math.round(left)} s` : state === "busy" || state === "draining" ? `${running}` : "";
      tile.className = `modalnb-tile modalnb-${state}`;
      put(tile.children[0], `${id.split("-").at(-1)} ${shape} ${letter}`);
      put(tile.children[1], words);
      put(tile.children[2], isWide ? [cpu === null ? "" : `${cpu.toFixed(1)} cores`, memory === null ? "" : `${memory} MiB`, ...gpus].filter(Boolean).join(" · ") : "");
      const label = `${id}: ${state}${state === "idle" && left !== null ? `, ${words} left` : words ? ` with ${words}` : ""}`;
      if (tile.title !== label) { tile.title = label; tile.setAttribute("aria-label", label); }
      tile.setAttribute("aria-expanded", this.open === id);
    }
    for (const [id, tile] of this.tiles) if (!present.has(id)) { tile.remove(); this.tiles.delete(id); }
    const first = this.strip.querySelector("button");
    if (first && !this.strip.querySelector("button[tabindex='0']")) first.tabIndex = 0;
    if (!first) put(this.strip, "no containers"); else if (this.strip.firstChild.nodeType === 3) this.strip.firstChild.remove();
  }

  onStripKey(event) {
    const tiles = [...this.strip.querySelectorAll("button")], at = tiles.indexOf(document.activeElement);
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tiles.length - 1 }[event.key];
    if (next === undefined || at < 0) return;
    const tile = tiles[Math.min(tiles.length - 1, Math.max(0, next))];
    tiles.forEach((each) => { each.tabIndex = each === tile ? 0 : -1; });
    tile.focus(); event.preventDefault(); event.stopPropagation();
  }

  toggleLog(id) {
    this.open = this.open === id ? null : id;
    this.log.replaceChildren();
    if (this.open) {
      const head = make("header", "", this.log);
      make("b", "", head).textContent = id;
      make("span", "modalnb-spacer", head);
      this.button(head, "close", () => this.toggleLog(id));
      make("pre", "", this.log, { tabindex: 0, ...keys });
      this.asked = 0;
    }
    this.draw();
  }

  drawLog() {
    this.log.hidden = !this.open;
    if (!this.open) return;
    if (performance.now() - (this.asked || -Infinity) > 1500) { this.asked = performance.now(); this.model.send({ kind: "log", container: this.open }); }
    const lines = this.store.logs.get(this.open), pre = this.log.querySelector("pre");
    const text = !lines ? "…" : lines.length ? lines.map((line) => line[1]).join("") : "It has printed nothing.";
    if (pre.textContent === text) return;
    pre.replaceChildren(...(lines?.length ? lines.map(([stream, words]) => { const span = make("span", `modalnb-${stream}`); span.textContent = words; return span; }) : [text]));
    pre.scrollTop = pre.scrollHeight;
  }

  drawBatches(pool) {
    this.batches.hidden = !pool.batches.length;
    const most = Math.max(1, ...pool.batches.map(([, count]) => count));
    const bars = pool.batches.map(([size, count]) => `<span class="modalnb-bar" title="${count} batches of ${size}"><i style="height:${Math.max(1, Math.round(28 * count / most))}px"></i>${size}</span>`);
    const body = `<b>batch sizes</b>${bars.join("")}`;
    if (this.batches.innerHTML !== body) this.batches.innerHTML = body;
  }

  drawGauges(pool) {
    const body = pool.gauges.map(([text, level, isAmber]) => `<span class="modalnb-gauge${isAmber ? " modalnb-amber" : ""}"><i style="width:${(100 * level).toFixed(1)}%"></i><b>${isAmber ? "⚠ " : ""}${escape_(text)}</b></span>`).join("");
    if (this.gaugeBody !== body) this.gauges.innerHTML = this.gaugeBody = body;
  }
}

export { Ring, Store, nice, thin, steps, stretches };
export default () => {
  const store = new Store();
  let answered = 0;
  return {
    initialize({ model }) {
      const onMessage = (message) => {
        store.apply(message);
        if (performance.now() - answered > 10000) { answered = performance.now(); model.send({ kind: "here" }); }
      };
      model.on("msg:custom", onMessage);
      model.send({ kind: "hello" });
      return () => model.off("msg:custom", onMessage);
    },
    render({ model, el }) {
      const view = new View(model, store, el);
      return () => view.close();
    },
  };
};
