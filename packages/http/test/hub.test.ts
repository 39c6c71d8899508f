/** What is made once for all who follow a table. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Codec, type TablePosition, TableReplication, TableTopic } from "effect-ktables"
import * as Hub from "../src/internal/hub.ts"
import { Served } from "../src/internal/served.ts"

const settings: Hub.Settings = { flushEvery: 50, keepAlive: 15_000, retained: 1024 * 1024 }

/** A hub of a table with some entries, and how many values were written so far. */
const made = Effect.gen(function* () {
  let written = 0
  const value: Codec.Codec<string> = Codec.make({
    decode: Codec.string.decode,
    encode: (text) => {
      written++
      return Codec.string.encode(text)
    }
  })
  const topic = TableTopic.make({ name: "t", key: Codec.string, value })
  const replica = TableReplication.makeReplica<string, string>("t")
  replica.commit(
    Array.from({ length: 10 }, (_, i) => [`k${i}`, "v"] as const),
    []
  )
  replica.setStatus({ _tag: "CaughtUp" })
  const { table } = replica
  const served = new Served<string, string>(
    { name: "t", topic, table, writer: undefined, awaitOffset: undefined, history: undefined },
    Context.empty() as Context.Context<unknown>
  )
  const hub = yield* Hub.make(served, "", settings)
  return { hub, replica, written: () => written }
})

/** What a client that comes now reads until it has the whole table. */
const joined = (hub: Hub.Hub<string, string>, wanted: TablePosition.TablePosition = []): Effect.Effect<string> =>
  hub.stream(undefined, wanted).pipe(
    Stream.decodeText(),
    Stream.takeUntil((text) => text.includes("event: caughtup")),
    Stream.mkString
  )

describe("a snapshot", () => {
  it.effect("is made once for clients that come one after another, and goes when none has come for a while", () =>
    Effect.gen(function* () {
      const { hub, replica, written } = yield* made
      const first = yield* joined(hub)
      assert.strictEqual(written(), 10)
      assert.strictEqual(yield* joined(hub), first)
      yield* TestClock.adjust(1000)
      replica.commit([["k0", "w"]], [])
      yield* TestClock.adjust(500)
      assert.strictEqual(yield* joined(hub), first)
      assert.strictEqual(written(), 11)
      yield* TestClock.adjust(3000)
      assert.include(yield* joined(hub), '["k0","w","text"]')
      assert.strictEqual(written(), 21)
    }).pipe(Effect.scoped)
  )

  it.effect("that is older than what a client has is not for that client", () =>
    Effect.gen(function* () {
      const { hub, replica } = yield* made
      const positionAt = (offset: number): TablePosition.TablePosition => [
        { topic: "t", topicId: undefined, partitions: [{ partition: 0, offset, epoch: 0, epochAt: 0 }] }
      ]
      replica.commit([], positionAt(1))
      yield* joined(hub)
      replica.commit([["k0", "w"]], positionAt(2))
      assert.notInclude(yield* joined(hub, positionAt(1)), '["k0","w","text"]')
      assert.include(yield* joined(hub, positionAt(2)), '["k0","w","text"]')
    }).pipe(Effect.scoped)
  )
})
