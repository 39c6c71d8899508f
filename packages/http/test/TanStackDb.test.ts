/** A remote table as a collection of TanStack DB. */
import { assert, describe, it } from "@effect/vitest"
import { createCollection } from "@tanstack/db"
import { Effect } from "effect"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import * as RemoteTable from "../src/RemoteTable.ts"
import * as TableHttp from "../src/TableHttp.ts"
import * as TanStackDb from "../src/TanStackDb.ts"
import { type Price, prices, serve, tableAndWriter } from "./support/server.ts"

describe("a collection of a remote table", () => {
  it.live("has its entries, and each change after them", () =>
    Effect.gen(function* () {
      const { table, writer } = yield* tableAndWriter
      yield* table.awaitOffset(yield* writer.set("a", { amount: 1 }))
      const url = yield* serve({ tables: [TableHttp.served(prices, table)], flushEvery: 1 })
      const copy = yield* RemoteTable.make(url, prices)
      const collection = createCollection<TanStackDb.Row<string, typeof Price.Type>, string>(TanStackDb.options(copy))
      yield* Effect.promise(() => collection.preload())
      assert.deepStrictEqual([...collection.values()].map(({ key, value }) => [key, value]), [["a", { amount: 1 }]]) // prettier-ignore
      yield* copy.awaitAck(yield* writer.set("b", { amount: 2 }))
      assert.deepStrictEqual(collection.get("b")?.value, { amount: 2 })
      yield* copy.awaitAck(yield* writer.set("b", { amount: 3 }))
      assert.deepStrictEqual(collection.get("b")?.value, { amount: 3 })
      yield* copy.awaitAck(yield* writer.delete("a"))
      assert.isFalse(collection.has("a"))
      yield* Effect.promise(() => collection.cleanup())
    }).pipe(Effect.scoped, Effect.provide(MemoryKafka.layer))
  )

  it.live("shows a write at once, keeps it when it is acknowledged, and takes it back when it fails", () =>
    Effect.gen(function* () {
      const { table, writer } = yield* tableAndWriter
      const url = yield* serve({
        tables: [TableHttp.served(prices, table, { writer }), TableHttp.served(prices, table, { name: "fixed" })],
        flushEvery: 1
      })
      const copy = yield* RemoteTable.make(url, prices)
      const collection = createCollection<TanStackDb.Row<string, typeof Price.Type>, string>(TanStackDb.options(copy))
      yield* Effect.promise(() => collection.preload())
      const inserted = collection.insert({ key: "a", value: { amount: 1 } })
      assert.deepStrictEqual([collection.has("a"), copy.view.has("a")], [true, false])
      yield* Effect.promise(() => inserted.isPersisted.promise)
      assert.deepStrictEqual([collection.get("a")?.value, copy.view.get("a")], [{ amount: 1 }, { amount: 1 }])
      const deleted = collection.delete("a")
      assert.isFalse(collection.has("a"))
      yield* Effect.promise(() => deleted.isPersisted.promise)
      assert.deepStrictEqual([collection.has("a"), copy.view.has("a")], [false, false])

      const fixed = yield* RemoteTable.make(url, prices, { name: "fixed" })
      const other = createCollection<TanStackDb.Row<string, typeof Price.Type>, string>(TanStackDb.options(fixed))
      yield* Effect.promise(() => other.preload())
      const refused = other.insert({ key: "b", value: { amount: 1 } })
      assert.isTrue(other.has("b"))
      const error = yield* Effect.flip(Effect.tryPromise(() => refused.isPersisted.promise))
      assert.include(String(error.cause), "read-only")
      assert.isFalse(other.has("b"))
      yield* Effect.promise(() => Promise.all([collection.cleanup(), other.cleanup()]))
    }).pipe(Effect.scoped, Effect.provide(MemoryKafka.layer))
  )
})
