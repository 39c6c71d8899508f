import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Effect, type Layer, type Option, Schema, type Stream } from "effect"
import {
  Codec,
  KafkaTable,
  type KafkaClient,
  KafkaTables,
  Table,
  type TableEntry,
  type TableError,
  type TableStatus,
  TableTopic
} from "effect-ktables"
import { Cell } from "../../src/internal/table/cell.ts"
import { CellTable } from "../../src/internal/table/cellTable.ts"
import { Contents } from "../../src/internal/table/contents.ts"
import { numbers, onMemory } from "./fixtures.ts"

type Numbers = KafkaTable.KafkaTable<string, number>
type Tags<E> = E extends { readonly _tag: infer Tag } ? Tag : never
type Failures<A> = A extends Effect.Effect<infer _A, infer E, infer _R> ? Tags<E> : never

describe("the errors of an operation", () => {
  type Reader =
    | "NotStarted"
    | "NotAuthorized"
    | "AuthenticationRefused"
    | "ClusterRefused"
    | "DecodeError"
    | "DataLoss"
    | "TopicRecreated"
    | "TopicDeleted"
    | "UnreadableRecords"
    | "TableTooLarge"
    | "ReaderDied"

  it("are those that it can fail with, and no others", () => {
    expectTypeOf<Failures<ReturnType<Numbers["barrier"]>>>().toEqualTypeOf<
      Reader | "TableClosed" | "BarrierTimeout" | "InvalidOption"
    >()
    expectTypeOf<Failures<ReturnType<Numbers["awaitOffset"]>>>().toEqualTypeOf<
      Reader | "TableClosed" | "NotAwaitable" | "WriteSuperseded" | "InvalidOption"
    >()
    expectTypeOf<Failures<Numbers["awaitCaughtUp"]>>().toEqualTypeOf<Reader | "TableClosed">()
    expectTypeOf<Failures<Numbers["failure"]>>().toEqualTypeOf<Reader | "TableClosed">()
    expectTypeOf<Tags<Stream.Error<Numbers["changes"]>>>().toEqualTypeOf<Reader>()
    expectTypeOf<Tags<Stream.Error<ReturnType<Numbers["watch"]>>>>().toEqualTypeOf<Reader>()
    expectTypeOf<Failures<Numbers["snapshot"]>>().toBeNever()
    expectTypeOf<Failures<ReturnType<Numbers["get"]>>>().toBeNever()
  })

  it("of a start are those of finding its topic, too, and of its reader, but not those of a wait", () => {
    expectTypeOf<Tags<KafkaTable.StartError>>().toEqualTypeOf<
      | Exclude<Reader, "NotStarted">
      | "TopicNotFound"
      | "Unreachable"
      | "InvalidTopic"
      | "PolicyMismatch"
      | "InvalidOption"
      | "CatchUpTimeout"
      | "TableClosed"
    >()
    expectTypeOf<Tags<TableError.NotStarted["reason"]>>().toEqualTypeOf<
      | "TopicNotFound"
      | "NotAuthorized"
      | "Unreachable"
      | "AuthenticationRefused"
      | "InvalidTopic"
      | "PolicyMismatch"
      | "ClusterRefused"
    >()
  })

  it("are in its status, with what only ever is a reason to build it again", () => {
    type Status = Effect.Success<Numbers["status"]>
    expectTypeOf<Status>().toEqualTypeOf<TableStatus.TableStatus>()
    expectTypeOf<Tags<Extract<Status, { _tag: "Failed" }>["error"]>>().toEqualTypeOf<Reader>()
    expectTypeOf<Tags<Extract<Status, { _tag: "Rebuilding" }>["reason"]>>().toEqualTypeOf<Reader | "KeysMoved">()
  })
})

describe("the type of a table", () => {
  it("is that of any table, of wider values and wider errors, and of no other keys", () => {
    expectTypeOf<Numbers>().toExtend<Table.Table<string, number, TableError.ReaderError>>()
    expectTypeOf<Numbers>().toExtend<Table.Table<string, number | string, TableError.ReaderError | Error>>()
    expectTypeOf<Numbers>().toExtend<Table.Any>()
    expectTypeOf<Numbers>().not.toExtend<Table.Table<string, string, TableError.ReaderError>>()
    expectTypeOf<Numbers>().not.toExtend<Table.Table<string, number>>()
    expectTypeOf<Numbers>().not.toExtend<Table.Table<string | number, number, TableError.ReaderError>>()
    expectTypeOf<Table.Table<"a", number>>().not.toExtend<Table.Table<string, number>>()
    expectTypeOf<[Table.Key<Numbers>, Table.Value<Numbers>, Table.Error<Numbers>]>().toEqualTypeOf<
      [string, number, TableError.ReaderError]
    >()
  })

  it("lets nobody write to its view", () => {
    expectTypeOf<Numbers["view"]>().toEqualTypeOf<ReadonlyMap<string, number>>()
    expectTypeOf<Numbers["view"]>().not.toExtend<Map<string, number>>()
  })
})

class DeadLetters extends Context.Service<DeadLetters, { readonly take: (bytes: Uint8Array) => Effect.Effect<void> }>()(
  "test/DeadLetters"
) {}
class Key extends Context.Service<Key, string>()("test/Key") {}

describe("what a table needs", () => {
  const sealed = TableTopic.make({
    name: "sealed",
    key: Schema.String,
    value: Codec.make<string, Key>({
      decode: (bytes) => Key.useSync((key) => key + bytes.toString()),
      encode: (value) => Effect.succeed(Buffer.from(value))
    })
  })
  const onDecodeError: KafkaTable.OnDecodeError<DeadLetters> = (_, { key }) =>
    DeadLetters.use((letters) => Effect.as(letters.take(key), "skip" as const))

  it("is what its codecs and its onDecodeError need", () => {
    class Sealed extends KafkaTable.Service<Sealed>()("test/Sealed", sealed) {}
    type Needed<A> = A extends Layer.Layer<infer _A, infer _E, infer R> ? R : never
    const layer = Sealed.layerWith({ onDecodeError })
    const skipping = Sealed.layerWith({ onDecodeError: "skip" })
    expectTypeOf<Needed<typeof layer>>().toEqualTypeOf<KafkaClient.KafkaClient | Key | DeadLetters>()
    expectTypeOf<Needed<typeof skipping>>().toEqualTypeOf<KafkaClient.KafkaClient | Key>()
    expectTypeOf<Needed<typeof Sealed.layer>>().toEqualTypeOf<KafkaClient.KafkaClient | Key>()
    const inline = KafkaTable.layer(Sealed, sealed, {
      onDecodeError: () => DeadLetters.use(() => Effect.succeed("fail" as const))
    })
    expectTypeOf<Needed<typeof inline>>().toEqualTypeOf<KafkaClient.KafkaClient | Key | DeadLetters>()
  })
})

describe("isTable and isKafkaTable", () => {
  it.effect("tell tables from others, and those of a topic from those of none", () =>
    onMemory(
      Effect.gen(function* () {
        const table = yield* KafkaTable.make(numbers)
        const cell = new Cell<string, number, never>({
          name: "free",
          contents: new Contents(),
          same: Object.is,
          capacity: 1
        })
        const free: Table.Table<string, number> = new CellTable(cell)
        assert.deepStrictEqual([table, free].map(Table.isTable), [true, true])
        assert.deepStrictEqual([table, free].map(KafkaTable.isKafkaTable), [true, false])
        for (const other of [undefined, null, 5, {}, new Map(), table.view]) {
          assert.isFalse(Table.isTable(other))
          assert.isFalse(KafkaTable.isKafkaTable(other))
        }
        assert.strictEqual(
          table.pipe((one) => one.topic),
          "numbers"
        )
      })
    )
  )
})

describe("metadata", () => {
  const topic = numbers
  type Made<A> = A extends Effect.Effect<infer T, infer _E, infer _R> ? T : never

  it("has headers where the table was asked to keep them, and else none", () => {
    const make = () => ({
      plain: KafkaTable.make(topic),
      without: KafkaTable.make(topic, { headers: false }),
      keeping: KafkaTable.make(topic, { headers: true, isolation: "read_committed" }),
      either: (headers: boolean) => KafkaTable.make(topic, { headers })
    })
    type All = ReturnType<typeof make>
    expectTypeOf<Made<All["plain"]>>().toEqualTypeOf<Numbers>()
    expectTypeOf<Made<All["without"]>>().toEqualTypeOf<Numbers>()
    expectTypeOf<Made<ReturnType<All["either"]>>>().toEqualTypeOf<Numbers>()
    type Keeping = Made<All["keeping"]>
    expectTypeOf<Keeping>().toExtend<KafkaTable.WithHeaders<string, number>>()
    expectTypeOf<Keeping>().toExtend<Numbers>()
    expectTypeOf<Numbers>().not.toExtend<Keeping>()
    expectTypeOf<Numbers>().not.toExtend<KafkaTable.WithHeaders<string, number>>()
    type EntryOf<T extends Numbers> = Option.Option.Value<Made<ReturnType<T["getEntry"]>>>
    expectTypeOf<EntryOf<Numbers>>().toEqualTypeOf<TableEntry.TableEntry<string, number>>()
    expectTypeOf<EntryOf<Numbers>>().not.toHaveProperty("headers")
    expectTypeOf<EntryOf<Keeping>>().toEqualTypeOf<TableEntry.WithHeaders<string, number>>()
  })

  it("of a table is the value of its entries", () => {
    const derive = (plain: Numbers, keeping: KafkaTable.WithHeaders<string, number>) => ({
      plain: plain.pipe(KafkaTable.withMetadata),
      keeping: KafkaTable.withMetadata(keeping)
    })
    type All = ReturnType<typeof derive>
    expectTypeOf<Made<All["plain"]>>().toEqualTypeOf<
      Table.Table<string, TableEntry.TableEntry<string, number>, TableError.ReaderError>
    >()
    expectTypeOf<Made<All["keeping"]>>().toEqualTypeOf<
      Table.Table<string, TableEntry.WithHeaders<string, number>, TableError.ReaderError>
    >()
  })

  it("is known to tables by name, too", () => {
    const make = () => ({
      plain: KafkaTables.make(() => topic),
      keeping: KafkaTables.make(() => topic, { headers: true })
    })
    type All = ReturnType<typeof make>
    expectTypeOf<Made<ReturnType<Made<All["plain"]>["get"]>>>().toEqualTypeOf<Numbers>()
    expectTypeOf<Made<ReturnType<Made<All["keeping"]>["get"]>>>().toExtend<KafkaTable.WithHeaders<string, number>>()
  })

  it("of a service is asked for by its tag", () => {
    class Keeping extends Context.Service<Keeping, KafkaTable.WithHeaders<string, number>>()("test/Keeping") {}
    const layers = () => ({
      keeping: KafkaTable.layer(Keeping, topic, { headers: true }),
      // @ts-expect-error: its entries would have no headers.
      plain: KafkaTable.layer(Keeping, topic)
    })
    expectTypeOf<ReturnType<typeof layers>["keeping"]>().toExtend<
      Layer.Layer<Keeping, KafkaTable.StartError, KafkaClient.KafkaClient>
    >()
  })
})
