/**
 * The entries of one table as this page has them: all of them in the order of their keys, those that the filter lets
 * through, and what has changed since the page was opened.
 */
import { signal } from "@preact/signals"
import type { TablePosition } from "effect-ktables/TablePosition"
import { isSame } from "./json.ts"
import { yieldToPage } from "./turns.ts"

/** A key and its value; no value where the key was deleted. */
export type Entry = readonly [key: string] | readonly [key: string, value: unknown]

export type ChangeKind = "added" | "changed" | "deleted"

/** What became of a key, while the page looked or as the log has it. */
export interface Version {
  readonly id: string
  /** `set` where it is not known what was there before. */
  readonly kind: ChangeKind | "opened" | "set"
  /** Undefined after a deletion. */
  readonly value: unknown
  /** Milliseconds since the epoch; -1 where that is not known. */
  readonly at: number
  /** Where the table was with it; where the page has not seen it, nothing. */
  readonly position: TablePosition
  /** Where the log has it. */
  readonly record?: {
    readonly partition: number
    readonly offset: number
    readonly headers: ReadonlyArray<string>
    /** Why its value is none of the table. */
    readonly error: string | undefined
  }
}

export interface Row {
  readonly id: number
  readonly key: string
  value: unknown
  /** The newest change; undefined where the page found the entry and nothing has become of it. */
  change: { readonly kind: ChangeKind; readonly at: number } | undefined
  /** How often it has changed, so that each change can be made visible. */
  changes: number
  isShown: boolean
  isGone: boolean
  /** The value as text, made when a filter first asks for it. */
  text: string | undefined
}

/** One change of one key, for the list of the latest. */
export interface Event {
  readonly id: number
  readonly key: string
  readonly kind: ChangeKind
  readonly at: number
  readonly before: unknown
  readonly after: unknown
}

export interface Filter {
  readonly by: "prefix" | "text"
  readonly text: string
}

/** How long a deleted entry stays to be seen. */
export const FADE = 1400
/** Seconds that the chart shows. */
export const SECONDS = 60
const SLICE = 8
const PACE = 200
const VERSIONS_PER_KEY = 50
const VERSIONS = 20_000
const LATEST = 60

const byKey = (a: Row, b: Row): number => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.id - b.id)

/** Two sorted lists as one. */
const merge = (a: ReadonlyArray<Row>, b: ReadonlyArray<Row>): Array<Row> => {
  const out: Array<Row> = []
  let j = 0
  for (const row of a) {
    while (j < b.length && byKey(b[j]!, row) < 0) out.push(b[j++]!)
    out.push(row)
  }
  while (j < b.length) out.push(b[j++]!)
  return out
}

/** The first row whose key is not below `key`. */
const lowerBound = (rows: ReadonlyArray<Row>, key: string): number => {
  let [low, high] = [0, rows.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (rows[middle]!.key < key) low = middle + 1
    else high = middle
  }
  return low
}

const textOf = (row: Row): string => (row.text ??= `${row.key}\n${JSON.stringify(row.value)}`.toLowerCase())

const matcher = ({ by, text }: Filter): ((row: Row) => boolean) => {
  if (text === "") return () => true
  if (by === "prefix") return ({ key }) => key.startsWith(text)
  const wanted = text.toLowerCase()
  return (row) => textOf(row).includes(wanted)
}

export class Replica {
  /** Grows with every change of what is shown, at most once a frame. */
  readonly version = signal(0)
  /** The same for numbers and words, which nobody reads as fast: a few times a second. */
  readonly pace = signal(0)
  /** What is shown, deleted entries that fade included. */
  shown: ReadonlyArray<Row> = []
  latest: ReadonlyArray<Event> = []

  private rows = new Map<string, Row>()
  private sorted: ReadonlyArray<Row> = []
  private filter: Filter = { by: "prefix", text: "" }
  private matches = matcher(this.filter)
  /** Counts filters, so that a search through many rows ends when its filter is not asked for any more. */
  private search = 0
  private isSearching = false

  /** What is to be applied. */
  private commits: Array<{ readonly entries: ReadonlyArray<Entry>; readonly position: TablePosition }> = []
  private added: Array<Row> = []
  private touched = new Set<Row>()
  private fading = new Set<Row>()
  private isPlanned = false
  private isSweeping = false
  private isPaced = false

  private ids = 0
  private position: TablePosition = []
  /** Whether all of the table has come once, so that what arrives now is news. */
  private isComplete = false
  private histories = new Map<string, Array<Version>>()
  private remembered = 0
  private readonly counts = new Float64Array(SECONDS + 1)
  private second = Math.floor(Date.now() / 1000)

  get size(): number {
    return this.rows.size
  }

  get(key: string): Row | undefined {
    return this.rows.get(key)
  }

  /** The place of a key among what is shown; −1 where it is not. */
  indexOf(key: string): number {
    for (let i = lowerBound(this.shown, key); this.shown[i]?.key === key; i++) if (!this.shown[i]!.isGone) return i
    return -1
  }

  /** Oldest first. */
  history(key: string): ReadonlyArray<Version> {
    return this.histories.get(key) ?? []
  }

  /** Changes in each of the last seconds, the one that runs last. */
  rates(): ReadonlyArray<number> {
    this.turnSecond()
    return Array.from(this.counts)
  }

  /** Changes a second, over the last five whole ones. */
  rate(): number {
    const whole = this.rates().slice(-6, -1)
    return whole.reduce((sum, count) => sum + count, 0) / whole.length
  }

  /** All of the table has come. */
  complete(): void {
    this.drain()
    this.isComplete = true
    this.plan()
  }

  /**
   * Applies entries, with which the table is at `position`, before the next frame is drawn: with the lists, so that whatever is
   * drawn meanwhile is drawn of one state.
   */
  apply(entries: ReadonlyArray<Entry>, position: TablePosition): void {
    this.commits.push({ entries, position })
    this.plan()
  }

  private drain(): void {
    const commits = this.commits
    this.commits = []
    for (const { entries, position } of commits) {
      this.position = position
      for (const entry of entries) {
        if (entry.length === 1) this.delete(entry[0])
        else this.set(entry[0], entry[1])
      }
    }
  }

  /** Applies what differs in a later snapshot, in one step; what differs is found in slices. */
  async replace(entries: ReadonlyArray<Entry>, position: TablePosition, isOver: () => boolean): Promise<void> {
    this.flush()
    const changed: Array<Entry> = []
    const seen = new Set<string>()
    let since = performance.now()
    for (const entry of entries) {
      const [key, value] = entry
      seen.add(key)
      const row = this.rows.get(key)
      if (row === undefined || !isSame(row.value, value)) changed.push(entry)
      if (performance.now() - since < SLICE) continue
      await yieldToPage()
      if (isOver()) return
      since = performance.now()
    }
    for (const key of this.rows.keys()) if (!seen.has(key)) changed.push([key])
    this.apply(changed, position)
  }

  private set(key: string, value: unknown): void {
    const row = this.rows.get(key)
    if (row === undefined) {
      const added: Row = {
        id: ++this.ids,
        key,
        value,
        change: undefined,
        changes: 0,
        isShown: false,
        isGone: false,
        text: undefined
      }
      this.rows.set(key, added)
      this.added.push(added)
      if (this.isComplete) this.note(added, "added", undefined)
    } else {
      const before = row.value
      row.value = value
      row.text = undefined
      this.touched.add(row)
      this.note(row, "changed", before)
    }
  }

  private delete(key: string): void {
    const row = this.rows.get(key)
    if (row === undefined) return
    this.rows.delete(key)
    this.note(row, "deleted", row.value)
    this.fading.add(row)
    this.planSweep()
  }

  /** Takes away what has faded; one timer for all of it. */
  private planSweep(): void {
    if (this.isSweeping) return
    this.isSweeping = true
    setTimeout(() => {
      this.isSweeping = false
      const now = Date.now()
      for (const row of this.fading) if (now - row.change!.at >= FADE) row.isGone = true
      if (this.fading.size > 0) this.planSweep()
      this.plan()
    }, FADE / 4)
  }

  show(filter: Filter): void {
    this.filter = filter
    this.matches = matcher(filter)
    this.search++
    if (filter.by === "prefix" || filter.text === "") {
      this.isSearching = false
      this.flush()
      for (const row of this.sorted) row.isShown = false
      // All keys with a prefix lie side by side.
      const from = lowerBound(this.sorted, filter.text)
      let to = this.sorted.length
      if (filter.text !== "") {
        to = from
        while (to < this.sorted.length && this.sorted[to]!.key.startsWith(filter.text)) to++
      }
      this.shown = this.sorted.slice(from, to)
      for (const row of this.shown) row.isShown = true
      this.moved()
    } else void this.lookThrough(this.search)
  }

  private async lookThrough(search: number): Promise<void> {
    this.isSearching = false
    this.flush()
    this.isSearching = true
    const [rows, found]: [ReadonlyArray<Row>, Array<Row>] = [this.sorted, []]
    let since = performance.now()
    for (const row of rows) {
      row.isShown = this.matches(row)
      if (row.isShown) found.push(row)
      if (performance.now() - since < SLICE) continue
      await yieldToPage()
      if (search !== this.search) return
      since = performance.now()
    }
    this.shown = found
    this.isSearching = false
    this.moved()
    this.plan()
  }

  private note(row: Row, kind: ChangeKind, before: unknown): void {
    const at = Date.now()
    row.change = { kind, at }
    row.changes++
    this.turnSecond()
    this.counts[SECONDS]!++
    const after = kind === "deleted" ? undefined : row.value
    this.latest = [
      { id: row.id + row.changes / 1e6, key: row.key, kind, at, before, after },
      ...this.latest.slice(0, LATEST - 1)
    ]
    let versions = this.histories.get(row.key)
    if (versions === undefined) {
      versions = kind === "added" ? [] : [{ id: `${row.id}`, kind: "opened", value: before, at: OPENED, position: [] }]
      this.remembered += versions.length
      this.histories.set(row.key, versions)
    } else {
      // What changed last is forgotten last.
      this.histories.delete(row.key)
      this.histories.set(row.key, versions)
    }
    versions.push({ id: `${row.id}.${row.changes}`, kind, value: after, at, position: this.position })
    this.remembered++
    if (versions.length > VERSIONS_PER_KEY) {
      versions.shift()
      this.remembered--
    }
    for (const [key, { length }] of this.histories) {
      if (this.remembered <= VERSIONS) break
      this.histories.delete(key)
      this.remembered -= length
    }
  }

  private turnSecond(): void {
    const now = Math.floor(Date.now() / 1000)
    const passed = Math.min(now - this.second, SECONDS + 1)
    if (passed <= 0) return
    this.counts.copyWithin(0, passed)
    this.counts.fill(0, SECONDS + 1 - passed)
    this.second = now
  }

  private moved(): void {
    this.version.value = this.version.peek() + 1
    if (this.isPaced) return
    this.isPaced = true
    setTimeout(() => {
      this.isPaced = false
      this.pace.value = this.pace.peek() + 1
    }, PACE)
  }

  /** Frames do not come while the page is hidden. */
  private plan(): void {
    if (this.isPlanned) return
    this.isPlanned = true
    const run = () => {
      this.isPlanned = false
      this.flush()
      this.moved()
    }
    if (document.hidden) setTimeout(run, 250)
    else requestAnimationFrame(run)
  }

  /** Brings the lists in step with the entries. */
  private flush(): void {
    this.drain()
    const added = this.added.filter((row) => this.rows.get(row.key) === row || this.fading.has(row)).sort(byKey)
    this.added = []
    for (const row of this.fading) {
      // Who comes back takes the place of what fades.
      if (this.rows.has(row.key)) row.isGone = true
    }
    let hasGone = false
    for (const row of this.fading) {
      if (!row.isGone) continue
      this.fading.delete(row)
      hasGone = true
    }
    if (hasGone) this.sorted = this.sorted.filter((row) => !row.isGone)
    if (added.length > 0)
      this.sorted = merge(
        this.sorted,
        added.filter((row) => !row.isGone)
      )
    if (this.isSearching) {
      for (const row of added) this.touched.add(row)
      return
    }
    const entering = added.filter((row) => !row.isGone)
    let hasLeft = hasGone
    const isIn = new Set(entering)
    for (const row of this.touched) {
      if (row.isGone || isIn.has(row)) continue
      const isShown = this.matches(row)
      if (isShown && !row.isShown) entering.push(row)
      if (!isShown && row.isShown) {
        row.isShown = false
        hasLeft = true
      }
    }
    this.touched.clear()
    const visible = entering.filter((row) => this.matches(row)).sort(byKey)
    if (hasLeft) this.shown = this.shown.filter((row) => row.isShown && !row.isGone)
    if (visible.length > 0) this.shown = merge(this.shown, visible)
    for (const row of visible) row.isShown = true
  }
}

const OPENED = Date.now()
