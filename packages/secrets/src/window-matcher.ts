/** Bytes of the pieces that the filter looks up. */
const GRAM = 4;
const FIRST_SLOTS = 1024;
const FIRST_FILTER_BITS = 1 << 16;
/** Filter bits per gram, at least: few false hits, and small enough for the processor's cache. */
const BITS_PER_GRAM = 32;

/** Pieces this short count at the ends of a text that somebody cut. */
const EDGE_BYTES = 8;

/** What was found: `start, end, group` for each stretch, flat, in no order. */
export type Stretches = readonly number[];

const NOTHING: Stretches = [];

/**
 * Finds every stretch of a text that consists of pieces of known byte strings. Each string belongs to a group, and a
 * stretch counts when it is at least the group's window long and each `unit` bytes of it in a row stand somewhere in the
 * group's strings. Text is sampled: one lookup for each five bytes (`unit` 8), whatever the number of strings.
 */
export class WindowMatcher {
  readonly #unit: 4 | 8;
  /** Samples of a text are this far apart: every unit holds exactly one whole sample. */
  readonly #stride: number;
  #filter = new Int32Array(FIRST_FILTER_BITS >>> 5);
  #filterShift = 32 - Math.log2(FIRST_FILTER_BITS);
  #low = new Int32Array(FIRST_SLOTS);
  #high = new Int32Array(FIRST_SLOTS);
  /** Id of the list of groups that hold the unit; 0 = free. */
  #owners = new Int32Array(FIRST_SLOTS);
  #slotShift = 32 - Math.log2(FIRST_SLOTS);
  #units = 0;
  /** Lists of groups by id; the same list is kept once. */
  readonly #lists: number[][] = [[]];
  readonly #listIds = new Map<string, number>();
  #windows = new Int32Array(16);
  #groups = 0;
  #lastStart = new Int32Array(16).fill(-2);
  #runStart = new Int32Array(16);
  #found = new Int32Array(16).fill(-1);
  #touched: number[] = [];

  constructor(unit: 4 | 8) {
    this.#unit = unit;
    this.#stride = unit - GRAM + 1;
  }

  get empty(): boolean {
    return this.#units === 0;
  }

  /** A new group; `window` is at least the unit. */
  addGroup(window: number): number {
    const group = this.#groups++;
    if (group >= this.#windows.length) {
      this.#windows = grown(this.#windows, 0);
      this.#lastStart = grown(this.#lastStart, -2);
      this.#runStart = grown(this.#runStart, 0);
      this.#found = grown(this.#found, -1);
    }
    this.#windows[group] = window;
    return group;
  }

  addString(group: number, bytes: Uint8Array): void {
    for (let at = 0; at + this.#unit <= bytes.length; at++) {
      this.#insert(word(bytes, at), this.#unit === 8 ? word(bytes, at + 4) : 0, group);
    }
  }

  /** Stretches of the first `length` bytes. `cut`: the text may have been cut, so shorter pieces count at its ends. */
  scan(text: Uint8Array, length: number, cut = false): Stretches {
    if (this.#units === 0 || length < this.#unit) return NOTHING;
    const found: number[] = [];
    if (this.#unit === 8) this.#scanEights(text, length, cut, found);
    else this.#scanFours(text, length, found);
    if (this.#touched.length > 0) this.#reset(cut ? length : -1, found);
    return found;
  }

  #scanEights(text: Uint8Array, length: number, cut: boolean, found: number[]): void {
    const filter = this.#filter;
    const shift = this.#filterShift;
    const lastStart = length - 8;
    const stride = this.#stride;
    for (let at = 0; at + GRAM <= length; at += stride) {
      const gram = (text[at] ?? 0) | ((text[at + 1] ?? 0) << 8) | ((text[at + 2] ?? 0) << 16) | ((text[at + 3] ?? 0) << 24);
      const bit = Math.imul(gram, 0x9e3779b1) >>> shift;
      if (((filter[bit >>> 5] ?? 0) & (1 << (bit & 31))) === 0) continue;
      const last = at < lastStart ? at : lastStart;
      for (let start = at < stride ? 0 : at - stride + 1; start <= last; start++) {
        const owners = this.#lookup(word(text, start), word(text, start + 4));
        if (owners !== 0) this.#extend(owners, start, cut, found);
      }
    }
  }

  #scanFours(text: Uint8Array, length: number, found: number[]): void {
    const filter = this.#filter;
    const shift = this.#filterShift;
    let gram = word(text, 0) << 8;
    for (let at = 0; at + GRAM <= length; at++) {
      gram = (gram >>> 8) | ((text[at + 3] ?? 0) << 24);
      const bit = Math.imul(gram, 0x9e3779b1) >>> shift;
      if (((filter[bit >>> 5] ?? 0) & (1 << (bit & 31))) === 0) continue;
      const owners = this.#lookup(word(text, at), 0);
      if (owners !== 0) this.#extend(owners, at, false, found);
    }
  }

  /** The unit at `start` belongs to these groups: their runs grow or begin. */
  #extend(owners: number, start: number, cut: boolean, found: number[]): void {
    for (const group of this.#lists[owners] ?? []) {
      const last = this.#lastStart[group] ?? -2;
      if (last === start) continue;
      if (last !== start - 1) {
        if (last === -2) this.#touched.push(group);
        this.#runStart[group] = start;
        this.#found[group] = -1;
      }
      this.#lastStart[group] = start;
      const from = this.#runStart[group] ?? 0;
      const end = start + this.#unit;
      const known = this.#found[group] ?? -1;
      if (known >= 0) found[known + 1] = end;
      else if (end - from >= (cut && from === 0 ? EDGE_BYTES : (this.#windows[group] ?? 0))) {
        this.#found[group] = found.length;
        found.push(from, end, group);
      }
    }
  }

  /** Forgets the runs of a text; those that touch the end of a cut text count whatever their length. */
  #reset(cutEnd: number, found: number[]): void {
    for (const group of this.#touched) {
      if ((this.#lastStart[group] ?? -2) + this.#unit === cutEnd && this.#found[group] === -1) {
        found.push(this.#runStart[group] ?? 0, cutEnd, group);
      }
      this.#lastStart[group] = -2;
      this.#found[group] = -1;
    }
    this.#touched = [];
  }

  #lookup(low: number, high: number): number {
    const mask = this.#owners.length - 1;
    for (let slot = mix(low, high) >>> this.#slotShift; ; slot = (slot + 1) & mask) {
      const owners = this.#owners[slot] ?? 0;
      if (owners === 0 || (this.#low[slot] === low && this.#high[slot] === high)) return owners;
    }
  }

  #insert(low: number, high: number, group: number): void {
    if (this.#units * 2 >= this.#owners.length) this.#growTable();
    const mask = this.#owners.length - 1;
    let slot = mix(low, high) >>> this.#slotShift;
    while (this.#owners[slot] !== 0 && (this.#low[slot] !== low || this.#high[slot] !== high)) slot = (slot + 1) & mask;
    const owners = this.#owners[slot] ?? 0;
    this.#owners[slot] = this.#listWith(owners, group);
    if (owners !== 0) return;
    this.#low[slot] = low;
    this.#high[slot] = high;
    this.#units++;
    if (this.#units * BITS_PER_GRAM > this.#filter.length * 32) this.#growFilter();
    else this.#admit(low, high);
  }

  #listWith(owners: number, group: number): number {
    const list = this.#lists[owners] ?? [];
    if (list.includes(group)) return owners;
    const key = `${owners}+${group}`;
    const known = this.#listIds.get(key);
    if (known !== undefined) return known;
    const id = this.#lists.push([...list, group]) - 1;
    this.#listIds.set(key, id);
    return id;
  }

  #admit(low: number, high: number): void {
    for (let offset = 0; offset < this.#stride; offset++) {
      const gram = offset === 0 ? low : offset === 4 ? high : (low >>> (8 * offset)) | (high << (32 - 8 * offset));
      const bit = Math.imul(gram, 0x9e3779b1) >>> this.#filterShift;
      const index = bit >>> 5;
      this.#filter[index] = (this.#filter[index] ?? 0) | (1 << (bit & 31));
    }
  }

  #growFilter(): void {
    this.#filter = new Int32Array(this.#filter.length * 4);
    this.#filterShift -= 2;
    for (const [slot, owners] of this.#owners.entries()) {
      if (owners !== 0) this.#admit(this.#low[slot] ?? 0, this.#high[slot] ?? 0);
    }
  }

  #growTable(): void {
    const old = { low: this.#low, high: this.#high, owners: this.#owners };
    const slots = old.owners.length * 2;
    this.#low = new Int32Array(slots);
    this.#high = new Int32Array(slots);
    this.#owners = new Int32Array(slots);
    this.#slotShift -= 1;
    for (const [from, owners] of old.owners.entries()) {
      if (owners === 0) continue;
      const low = old.low[from] ?? 0;
      const high = old.high[from] ?? 0;
      let slot = mix(low, high) >>> this.#slotShift;
      while (this.#owners[slot] !== 0) slot = (slot + 1) & (slots - 1);
      this.#low[slot] = low;
      this.#high[slot] = high;
      this.#owners[slot] = owners;
    }
  }
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24);
}

function mix(low: number, high: number): number {
  let hash = Math.imul(low, 0x85ebca6b) ^ Math.imul(high, 0xc2b2ae35);
  hash ^= hash >>> 15;
  return Math.imul(hash, 0x9e3779b1);
}

function grown(array: Int32Array<ArrayBuffer>, rest: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(array.length * 2).fill(rest, array.length);
  larger.set(array);
  return larger;
}
