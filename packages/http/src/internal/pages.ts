/** Pages of entries in the order of their keys' texts, each of one version. */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Table from "effect-ktables/Table"
import type { TablePosition } from "effect-ktables/TablePosition"
import type { Served } from "./served.ts"

export interface PageOptions {
  readonly prefix: string
  /** The first key, if it is there. */
  readonly from: string | undefined
  /** The key after which the page begins. */
  readonly after: string | undefined
  readonly limit: number
}

export interface Page<V> {
  readonly entries: ReadonlyArray<readonly [text: string, value: V]>
  /** The last of them, where more follow. */
  readonly next: string | undefined
  readonly size: number
  readonly at: TablePosition
}

/** As UTF-16, which is how JavaScript compares texts, and how a sorted table of texts is ordered. */
const isBefore = (a: string, b: string): boolean => a < b

/** Milliseconds of walking between two yields. */
const SLICE = 4

export class Pages<K, V> {
  readonly #served: Served<K, V>
  readonly #scope: Scope.Scope
  /** Made when the first page is asked for. */
  #sorted: Effect.Effect<Table.Sorted<K, V, unknown, string>> | undefined

  /** @param scope of what is made for pages */
  constructor(served: Served<K, V>, scope: Scope.Scope) {
    this.#served = served
    this.#scope = scope
  }

  page(options: PageOptions): Effect.Effect<Page<V>> {
    return this.#served.hasTextKeys ? this.#fromSorted(options) : this.#fromAll(options)
  }

  get #sortedTable(): Effect.Effect<Table.Sorted<K, V, unknown, string>> {
    return Effect.suspend(() => {
      this.#sorted ??= Effect.runSync(
        Effect.cached(
          Scope.provide(
            Table.sorted(this.#served.table as unknown as Table.Table<string, V, unknown>),
            this.#scope
          ) as unknown as Effect.Effect<Table.Sorted<K, V, unknown, string>>
        )
      )
      return this.#sorted
    })
  }

  #fromSorted({ after, from, limit, prefix }: PageOptions): Effect.Effect<Page<V>> {
    return Effect.map(this.#sortedTable, (sorted) => {
      const start = after ?? from
      const found = sorted.view.range({
        prefix,
        // One more tells whether more follow, and one may be `after` itself.
        limit: limit + 2,
        ...(start === undefined ? {} : { from: start as K })
      }) as unknown as ReadonlyArray<readonly [string, V]>
      const entries = after !== undefined && found[0]?.[0] === after ? found.slice(1) : found
      return this.#page(entries, limit, sorted.view.size)
    })
  }

  /** Walks all of one version: for keys that are no texts themselves. */
  #fromAll({ after, from, limit, prefix }: PageOptions): Effect.Effect<Page<V>> {
    return Effect.gen({ self: this }, function* () {
      const at = Table.position(this.#served.table)
      const snapshot = yield* this.#served.table.snapshot
      let best: Array<readonly [string, V]> = []
      const keep = () => {
        best.sort(([a], [b]) => (isBefore(a, b) ? -1 : 1))
        best = best.slice(0, limit + 1)
      }
      let since = performance.now()
      let size = 0
      for (const [key, value] of snapshot) {
        size++
        const text = yield* this.#served.textOf(key)
        if (text !== undefined && text.startsWith(prefix)) {
          const isAfter = after === undefined || isBefore(after, text)
          if (isAfter && (from === undefined || !isBefore(text, from))) best.push([text, value])
          if (best.length > 4 * (limit + 1)) keep()
        }
        if (size % 64 === 0 && performance.now() - since > SLICE) {
          yield* Effect.yieldNow
          since = performance.now()
        }
      }
      keep()
      return { ...this.#page(best, limit, size), at }
    })
  }

  #page(entries: ReadonlyArray<readonly [string, V]>, limit: number, size: number): Page<V> {
    return {
      entries: entries.slice(0, limit),
      next: entries.length > limit ? entries[limit - 1]![0] : undefined,
      size,
      at: Table.position(this.#served.table)
    }
  }
}
