/** Tables in the order of their keys. */
import * as Effect from "effect/Effect"
import * as Order from "effect/Order"
import type * as Stream from "effect/Stream"
import type { Cell } from "../table/cell.ts"
import { CellTable } from "../table/cellTable.ts"
import { TableView } from "../table/view.ts"
import * as Check from "../options.ts"
import { refusal } from "./guarded.ts"
import { type Derivation, type Derived, make } from "./operator.ts"
import type { Compare } from "./orderedEntries.ts"
import { type Plan, type Range, SortedContents } from "./sortedContents.ts"
import { Input, type Source } from "./source.ts"

class Sorted<K, V> implements Derivation<K, V, SortedContents<K, V>> {
  readonly contents: SortedContents<K, V>
  readonly #source: Source<K, V>
  readonly #refuse: (key: K, cause: unknown) => never
  #plan: Plan<K, V> | undefined

  constructor(source: Source<K, V>, compare: Compare<K>, refuse: (key: K, cause: unknown) => never) {
    this.contents = new SortedContents(compare)
    this.#source = source
    this.#refuse = refuse
  }

  compute(): void {
    this.#plan = this.contents.plan(this.#source.received, this.#refuse)
  }

  write(): void {
    const plan = this.#plan
    this.#plan = undefined
    if (plan !== undefined) return this.contents.carryOut(plan)
    // All of them are of entries that stay.
    for (const { changes, slots } of this.#source.received) {
      changes.forEach((change, i) => {
        if (change._tag === "Set") this.contents.put(slots[i]!, change.key, change.value, this.#refuse)
      })
    }
  }

  fill(): () => boolean {
    return this.#source.walk((key, value, slot) => this.contents.put(slot, key, value, this.#refuse))
  }
}

/** Keys of several types lie type by type. */
const rank = (key: unknown): number => {
  switch (typeof key) {
    case "number":
      return 0
    case "bigint":
      return 1
    case "string":
      return 2
    default:
      return 3
  }
}

/** Of numbers, bigints, strings (by their UTF-16 code units, as JavaScript compares them) and dates. */
const natural: Compare<unknown> = (a, b) => {
  if (typeof a === "string" && typeof b === "string") return a < b ? -1 : a === b ? 0 : 1
  const [left, right] = [rank(a), rank(b)]
  if (left !== right) return left - right
  switch (left) {
    case 0:
      return Order.Number(a as number, b as number)
    case 1:
      return Order.BigInt(a as bigint, b as bigint)
    default:
      return Order.Date(a as Date, b as Date)
  }
}

export const sorted = <K, V, E, E2>(
  source: Cell<K, V, E>,
  compare: Compare<K> = natural
): Derived<K, V, E | E2, SortedContents<K, V>> => {
  const input = new Input(source)
  const name = `sorted(${source.name})`
  const given = refusal(name, "fail")
  const refuse = (key: K, cause: unknown): never => given(key, cause) as never
  return make<K, V, E | E2, SortedContents<K, V>>({
    name,
    inputs: [input],
    derive: () => new Sorted(input.newest, compare, refuse)
  })
}

const isKey = Check.satisfies("a number, a bigint, a string or a Date", (key) => rank(key) < 3 || key instanceof Date)
const anything = Check.satisfies("anything", () => true)
const bounds = { limit: Check.integer({ min: 0 }), reverse: Check.boolean }
const checkNatural = Check.record<Range<never>>({
  ...bounds,
  from: isKey,
  to: isKey,
  prefix: Check.satisfies("a string", (prefix) => typeof prefix === "string")
})
const checkGiven = Check.record<Range<never>>({
  ...bounds,
  from: anything,
  to: anything,
  prefix: Check.satisfies("no prefix in a given order: its keys may lie anywhere", () => false)
})

/** The view of a sorted table: its iterators go in order. */
class SortedView<K, V> extends TableView<K, V> {
  readonly #cell: { readonly contents: SortedContents<K, V> }
  readonly range: (options?: Range<K>) => ReadonlyArray<readonly [K, V]>

  constructor(cell: { readonly contents: SortedContents<K, V> }, taken: (options: Range<K> | undefined) => Range<K>) {
    super(cell)
    this.#cell = cell
    this.range = (options) => cell.contents.range(taken(options))
  }

  override entries(): Generator<[K, V], undefined> {
    return this.#cell.contents.inOrder()
  }
}

/** Of the very same entries. */
const areSame = <K, V>(as: ReadonlyArray<readonly [K, V]>, bs: ReadonlyArray<readonly [K, V]>): boolean =>
  as.length === bs.length && as.every(([key, value], i) => Object.is(key, bs[i]![0]) && Object.is(value, bs[i]![1]))

/** A cell as readers of a sorted table see it. */
export class SortedTable<K, V, E> extends CellTable<K, V, E, SortedContents<K, V>> {
  override readonly view: SortedView<K, V>
  readonly range: (options?: Range<K>) => Effect.Effect<ReadonlyArray<readonly [K, V]>>
  readonly watchRange: (options?: Range<K>) => Stream.Stream<ReadonlyArray<readonly [K, V]>, E>

  /** @param isNatural whether keys are in an order of their own. */
  constructor(cell: Cell<K, V, E, SortedContents<K, V>>, isNatural: boolean) {
    super(cell)
    const check = isNatural ? checkNatural : checkGiven
    const taken = (options: Range<K> | undefined): Range<K> =>
      options === undefined ? {} : Check.takenOrThrow(check, options, "", cell.name)
    this.view = new SortedView(cell, taken)
    this.range = (options) => {
      const range = taken(options)
      return Effect.sync(() => cell.contents.range(range))
    }
    this.watchRange = (options) => {
      const range = taken(options)
      return cell.feed.watchPart(
        (key) => cell.contents.isWithin(range, key),
        () => cell.contents.range(range),
        areSame
      )
    }
  }
}
