// What the page knows of the app; one store for all views of a model, filled by the kernel's messages.

// The last points of a line. While nothing changes, one point moves on instead of many: the same
// rule as in history.py, so that the page and the kernel hold the same points.
class Ring {
  constructor(rows, most) { this.rows = rows; this.most = most; }
  add(row) {
    const rows = this.rows, last = rows.at(-1), before = rows.at(-2);
    if (before && !row[1] && !last[1] && same(row, last) && same(last, before)) { rows[rows.length - 1] = row; return; }
    rows.push(row);
    if (rows.length > this.most) rows.splice(0, rows.length - this.most);
  }
  // A tick without news: what was, still is.
  hold(now) {
    const last = this.rows.at(-1);
    if (last && now > last[0]) this.add([now, false, ...last.slice(2)]);
  }
}

function same(one, other) {
  for (let i = 2; i < one.length; i++) if (one[i] !== other[i]) return false;
  return true;
}

class Store {
  constructor() {
    this.pools = new Map(); this.devices = new Map(); this.listeners = new Set();
    this.now = 0; this.clock = 0; this.every = 1; this.heard = performance.now();
    // What was chosen last to look at, for views that are made anew.
    this.look = { span: 60, isTable: false };
    this.fields = []; this.charts = []; this.logs = new Map(); this.copied = null;
  }
  // The plane's clock, as far as it can be known between two messages.
  time() { return this.now + (this.isLost() ? 0 : (performance.now() - this.heard) / 1000); }
  isLost() { return performance.now() - this.heard > 3000 * this.every + 500; }
  date(at) { return new Date((at + this.clock) * 1000); }
  apply(message) {
    const take = { state: this.onState, delta: this.onDelta, log: this.onLog, copy: this.onCopy }[message.kind];
    if (!take) return;
    take.call(this, message);
    for (const listener of this.listeners) listener(message.kind);
  }
  beat(message) {
    this.now = message.now; this.every = message.every; this.heard = performance.now();
  }
  onState(message) {
    this.beat(message);
    for (const name of ["fields", "charts", "signs", "marks", "clock", "name", "most", "nogpu"]) this[name] = message[name];
    this.column = Object.fromEntries(this.fields.map((name, i) => [name, i]));
    this.pools = new Map(message.pools.map((p) => [p.id, { ...p, ring: new Ring(p.rows, this.most) }]));
    this.devices = new Map(message.devices.map((d) => [d.id, { ...d, ring: new Ring(d.rows, this.most) }]));
  }
  // To a page that is made anew, changes can come before the state that they change.
  onDelta(message) {
    if (!this.column) return;
    this.beat(message);
    this.follow(this.pools, message.pools);
    this.follow(this.devices, message.devices);
  }
  // A line that the message does not name has not changed; a null row is one that is gone.
  follow(lines, news) {
    const named = new Set();
    for (const { id, row, marks, ...facts } of news) {
      named.add(id);
      if (row === null) { lines.delete(id); continue; }
      if (!lines.has(id)) lines.set(id, { id, marks: [], ring: new Ring([], this.most) });
      const line = lines.get(id);
      if (row) line.ring.add(row); else line.ring.hold(this.now);
      if (marks) line.marks = [...line.marks, ...marks].slice(-300);
      Object.assign(line, facts);
    }
    for (const [id, line] of lines) if (!named.has(id)) line.ring.hold(this.now);
  }
  onLog(message) {
    this.logs.delete(message.container);
    this.logs.set(message.container, message.lines);
    if (this.logs.size > 8) this.logs.delete(this.logs.keys().next().value);
  }
  onCopy(message) { this.copied = message.text; }
}
