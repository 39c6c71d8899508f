/** Live copies of tables that are served, over real sockets, on the embedded Kafka. */
import { FaultProxy } from "@effect-ktables/testing"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Equal, Exit, Fiber, type Layer, Option, Schema, Scope, Stream } from "effect"
import {
  KafkaTable,
  KafkaTableWriter,
  Table,
  TablePosition,
  TableReplication,
  type TableStatus,
  TableTopic
} from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import * as RemoteTable from "../src/RemoteTable.ts"
import * as TableHttp from "../src/TableHttp.ts"
import { type Price, prices, serve, tableAndWriter } from "./support/server.ts"

const withKafka = <A, E>(effect: Effect.Effect<A, E, Layer.Success<typeof MemoryKafka.layer> | Scope.Scope>) =>
  effect.pipe(Effect.scoped, Effect.provide(MemoryKafka.layer))

/** Waits until the health of a copy is as it should be. */
const healthy = (
  table: { readonly healthChanges: Stream.Stream<RemoteTable.Health> },
  isIt: (health: RemoteTable.Health) => boolean
) => Stream.runHead(Stream.filter(table.healthChanges, isIt))

const isEqual = (a: Table.Any, b: Table.Any) =>
  Effect.map(Effect.all([a.snapshot, b.snapshot]), ([one, other]) => Equal.equals(one, other))

/** Waits until two tables have the same entries. */
const untilEqual = (a: Table.Any, b: Table.Any) =>
  Stream.runHead(Stream.filterEffect(Stream.merge(a.states, b.states), () => isEqual(a, b)))

describe("a remote table", () => {
  it.live("has what the server's table has when it is made, and follows it", () =>
    withKafka(
      Effect.gen(function* () {
        const { table, writer } = yield* tableAndWriter
        yield* writer.setAll(Array.from({ length: 3000 }, (_, i) => [`k${i}`, { amount: i }] as const))
        yield* table.barrier()
        const url = yield* serve({ tables: [TableHttp.served(prices, table)], flushEvery: 5 })
        const copy = yield* RemoteTable.make(url, prices)
        assert.strictEqual((yield* copy.status)._tag, "CaughtUp")
        assert.isTrue(yield* isEqual(copy, table))
        assert.deepStrictEqual(Table.position(copy), Table.position(table))

        const total = yield* Table.filter(copy, ({ amount }) => amount < 0)
        yield* writer.set("k1", { amount: -1 })
        const ack = yield* writer.delete("k2")
        yield* copy.awaitAck(ack)
        assert.isTrue(yield* isEqual(copy, table))
        assert.strictEqual(yield* total.size, 1)

        const some = yield* RemoteTable.make(url, prices, { prefix: "k29" })
        assert.strictEqual(yield* some.size, 111)
      })
    )
  )

  it.live("writes through the server, and has the write when that is awaited, as has what is derived there", () =>
    withKafka(
      Effect.gen(function* () {
        const { table, writer } = yield* tableAndWriter
        const gross = TableTopic.make({ name: "gross", key: Schema.String, value: Schema.Finite })
        const url = yield* serve({
          tables: [
            TableHttp.served(prices, table, { writer }),
            TableHttp.served(gross, yield* Table.map(table, ({ amount }) => 2 * amount))
          ]
        })
        const copy = yield* RemoteTable.make(url, prices)
        const derived = yield* RemoteTable.make(url, gross)
        for (let amount = 0; amount < 10; amount++) {
          const ack = yield* copy.set("a b/c", { amount })
          yield* Effect.all([copy.awaitAck(ack), derived.awaitAck(ack)])
          assert.deepStrictEqual(yield* copy.get("a b/c"), Option.some({ amount }))
          assert.deepStrictEqual(yield* derived.get("a b/c"), Option.some(2 * amount))
        }
        yield* derived.awaitAck(yield* copy.delete("a b/c"))
        assert.strictEqual(yield* derived.size, 0)
        const refused = yield* Effect.flip(derived.set("a", 1))
        assert.deepInclude(refused, { _tag: "RemoteRefused", status: 405 })
        const other = yield* Effect.flip(copy.awaitAck({ ...(yield* copy.set("a", { amount: 1 })), topic: "pears" }))
        assert.strictEqual(other._tag, "NotAwaitable")
        const bad = yield* Effect.flip(copy.set("a", { amount: Number.NaN }))
        assert.strictEqual(bad._tag, "EncodeError")
      })
    )
  )

  it.live("goes on after cuts of its connection, in time also after one that is only silent, and misses nothing", () =>
    withKafka(
      Effect.gen(function* () {
        const { table, writer } = yield* tableAndWriter
        const url = yield* serve({ tables: [TableHttp.served(prices, table)], flushEvery: 1, keepAlive: 400 })
        const proxy = yield* FaultProxy.make(new URL(url).host)
        const copy = yield* RemoteTable.make(`http://${proxy.address}`, prices)
        const seen: Array<Option.Option<{ readonly amount: number }>> = []
        yield* Effect.forkScoped(Stream.runForEach(copy.watch("a"), (value) => Effect.sync(() => seen.push(value))))
        for (let amount = 0; amount < 5; amount++) {
          yield* proxy.cut
          yield* healthy(copy, ({ connected }) => !connected)
          const ack = yield* writer.set("a", { amount })
          yield* copy.awaitAck(ack)
        }
        assert.deepStrictEqual(
          seen.slice(1),
          [0, 1, 2, 3, 4].map((amount) => Option.some({ amount }))
        )
        const { connections, resets, snapshots } = yield* copy.health
        assert.deepStrictEqual([connections, resets, snapshots], [6, 0, 1])

        yield* proxy.freeze("toClient")
        const ack = yield* writer.set("a", { amount: 5 })
        yield* healthy(copy, ({ connected }) => !connected)
        yield* proxy.thaw
        yield* copy.awaitAck(ack)
        assert.deepStrictEqual(yield* copy.get("a"), Option.some({ amount: 5 }))
      })
    )
  )

  it.live(
    "of two servers, one of which stands on the other, never goes back under cuts, and has each write that it awaits",
    () =>
      withKafka(
        Effect.gen(function* () {
          const { table, writer } = yield* tableAndWriter
          const options = { flushEvery: 1, keepAlive: 500 }
          const first = yield* serve({ tables: [TableHttp.served(prices, table, { writer })], ...options })
          // Always behind the first, by what it takes to get there.
          const second = yield* serve({
            tables: [TableHttp.served(prices, yield* RemoteTable.make(first, prices))],
            ...options
          })
          const proxies = [yield* FaultProxy.make(new URL(first).host), yield* FaultProxy.make(new URL(second).host)]
          let turn = 0
          const balanced: typeof globalThis.fetch = (input, init) =>
            fetch(String(input).replace("balancer", proxies[turn++ % 2]!.address), init)
          const copy = yield* RemoteTable.make("http://balancer", prices, { fetch: balanced })
          let before = Table.position(copy)
          let back = 0
          const followed: TableReplication.Followed<string, typeof Price.Type> = yield* TableReplication.follow(
            copy,
            () => {
              const now = followed.position()
              if (TablePosition.relation(now, before) !== "has") back++
              before = now
            }
          )
          for (let amount = 0; amount < 100; amount++) {
            const ack = yield* writer.set(`k${amount % 7}`, { amount })
            if (amount % 10 === 3) yield* Effect.all(proxies.map(({ cut }) => cut))
            if (amount % 5 !== 0) continue
            yield* copy.awaitAck(ack)
            assert.deepStrictEqual(yield* copy.get(`k${amount % 7}`), Option.some({ amount }))
          }
          yield* untilEqual(copy, table)
          const { connections, resets } = yield* copy.health
          assert.deepStrictEqual([back, resets], [0, 0])
          assert.isAbove(connections, 5)
        })
      )
  )

  it.live("shows what it had while the server is away, and the difference when another one is there", () =>
    withKafka(
      Effect.gen(function* () {
        const { table, writer } = yield* tableAndWriter
        yield* table.awaitOffset(yield* writer.set("a", { amount: 1 }))
        const first = yield* Scope.make()
        const options = { tables: [TableHttp.served(prices, table)], closeTimeout: 50 }
        const url = yield* Scope.provide(serve(options), first)
        const copy = yield* RemoteTable.make(url, prices)
        const derived = yield* Table.map(copy, ({ amount }) => amount)
        const changes = yield* Effect.forkScoped(Stream.runCollect(Stream.take(derived.changes, 3)), {
          startImmediately: true
        })
        yield* Effect.yieldNow
        yield* Scope.close(first, Exit.void)
        yield* healthy(copy, ({ connected }) => !connected)
        assert.strictEqual(yield* copy.size, 1)
        assert.strictEqual((yield* copy.status)._tag, "CaughtUp")
        yield* writer.set("b", { amount: 2 })
        const ack = yield* writer.set("c", { amount: 3 })
        yield* serve({ ...options, port: Number(new URL(url).port) })
        yield* copy.awaitAck(ack)
        const heard = yield* Fiber.join(changes)
        assert.deepStrictEqual(
          heard.map((change) => (change._tag === "Snapshot" ? "Snapshot" : change.key)).toSorted(),
          ["Snapshot", "b", "c"]
        )
      })
    )
  )

  it.live("notices that its topic is another, counts it, and ends the waits for writes to the old one", () =>
    withKafka(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        const { table, writer } = yield* tableAndWriter
        yield* table.awaitOffset(yield* writer.set("a", { amount: 1 }))
        const url = yield* serve({ tables: [TableHttp.served(prices, table)] })
        const copy = yield* RemoteTable.make(url, prices)
        const old = yield* writer.set("b", { amount: 1 })
        yield* copy.awaitAck(old)
        yield* kafka.recreateTopic("prices")
        yield* healthy(copy, ({ resets }) => resets === 1)
        yield* untilEqual(copy, table)
        assert.strictEqual(yield* copy.size, 0)
        assert.strictEqual((yield* Effect.flip(copy.awaitAck({ ...old, offset: 100 })))._tag, "DataLoss")
      })
    )
  )

  it.live("is refused at once where there is no such table, and unavailable where nobody answers in time", () =>
    withKafka(
      Effect.gen(function* () {
        const { table } = yield* tableAndWriter
        const url = yield* serve({ tables: [TableHttp.served(prices, table)] })
        const refused = yield* Effect.flip(RemoteTable.make(url, prices, { name: "pears" }))
        assert.deepInclude(refused, { _tag: "RemoteRefused", status: 404, detail: "there is no table pears" })
        const away = yield* Effect.flip(RemoteTable.make("http://127.0.0.1:1", prices, { startTimeout: 100 }))
        assert.strictEqual(away._tag, "RemoteUnavailable")
        assert.include(away.message, "fetch failed")
        const background = yield* RemoteTable.make("http://127.0.0.1:1", prices, { startTimeout: "background" })
        assert.strictEqual((yield* background.status)._tag, "Loading")
      })
    )
  )

  it.live("sends its headers with each request", () =>
    withKafka(
      Effect.gen(function* () {
        const { table } = yield* tableAndWriter
        const url = yield* serve({ tables: [TableHttp.served(prices, table)] })
        const sent: Array<unknown> = []
        const copy = yield* RemoteTable.make(url, prices, {
          headers: Effect.sync(() => ({ authorization: `Bearer ${sent.length}` })),
          fetch: (input, init) => {
            sent.push(new Headers(init?.headers).get("authorization"))
            return fetch(input, init)
          }
        })
        yield* Effect.flip(copy.delete("a"))
        assert.deepStrictEqual(sent, ["Bearer 0", "Bearer 1"])
      })
    )
  )

  it.live("leaves out and counts what does not decode, and ends with its scope", () =>
    withKafka(
      Effect.gen(function* () {
        const loose = TableTopic.make({ name: "prices", key: Schema.String, value: Schema.Json })
        const table = yield* KafkaTable.make(loose, { ensureTopic: { create: true } })
        const writer = yield* KafkaTableWriter.make(loose)
        yield* writer.setAll([["a", { amount: 1 }], ["b", "none"]]) // prettier-ignore
        yield* table.barrier()
        const scope = yield* Scope.make()
        const url = yield* serve({ tables: [TableHttp.served(loose, table)], flushEvery: 1 })
        const copy = yield* Scope.provide(RemoteTable.make(url, prices), scope)
        assert.deepStrictEqual(yield* copy.entries, [["a", { amount: 1 }]])
        yield* copy.awaitAck(yield* writer.set("a", [1]))
        assert.deepStrictEqual([yield* copy.size, (yield* copy.health).decodeErrors], [0, 2])
        const statuses: Array<TableStatus.TableStatus<never>["_tag"]> = []
        const ended = yield* Effect.forkScoped(
          Stream.runForEach(copy.statusChanges, ({ _tag }) => Effect.sync(() => statuses.push(_tag))),
          { startImmediately: true }
        )
        yield* Scope.close(scope, Exit.void)
        yield* Fiber.join(ended)
        assert.deepStrictEqual(statuses, ["CaughtUp", "Closed"])
        const waited = yield* Effect.flip(copy.awaitAck(yield* writer.set("c", 1)))
        assert.strictEqual(waited._tag, "TableClosed")
      })
    )
  )
})
