/** Grouped tables and their writers over a log. */
import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Effect, Fiber, HashMap, Layer, Logger, Metric, Option, Schema, type Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import {
  Codec,
  GroupedKafkaTable,
  GroupedKafkaTableWriter,
  type KafkaClient,
  KafkaTable,
  KafkaTableWriter,
  Table,
  type TableError,
  TableTopic
} from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { chance, propertyTimeout, seedsOf } from "../support/chance.ts"
import { eventually, onMemory, put } from "./fixtures.ts"

const kafka = MemoryKafka.MemoryKafka

const hosts = TableTopic.grouped({
  name: "hosts",
  group: Schema.String,
  member: Schema.String,
  value: Schema.Int,
  partitions: 3
})

const inOrder = <A>(entries: Iterable<readonly [string, A]>) => [...entries].sort(([a], [b]) => (a < b ? -1 : 1))

describe("a grouped table", () => {
  it.effect("shows a write in its group once it is awaited, and no group that has been emptied", () =>
    onMemory(
      Effect.gen(function* () {
        const table = yield* GroupedKafkaTable.make(hosts)
        const writer = yield* GroupedKafkaTableWriter.make(hosts)
        assert.strictEqual(writer.topic, "hosts")
        yield* table.awaitOffset(yield* writer.set("billing", "a", 1))
        assert.deepStrictEqual(yield* table.members("billing"), [["a", 1]])
        const acks = yield* writer.setAll([
          [{ group: "billing", member: "b" }, 2],
          [{ group: "search", member: "a" }, 3]
        ])
        for (const ack of acks) yield* table.awaitOffset(ack)
        assert.deepStrictEqual(inOrder(yield* table.members("billing")), [["a", 1], ["b", 2]]) // prettier-ignore
        assert.sameMembers([...(yield* table.groups)], ["billing", "search"])
        assert.strictEqual(yield* table.memberCount("billing"), 2)
        assert.strictEqual(table.view.memberCount("search"), 1)

        yield* table.awaitOffset(yield* writer.delete("billing", "a"))
        yield* table.awaitOffset(yield* writer.delete("search", "a"))
        yield* table.awaitOffset(yield* writer.delete("search", "never there"))
        assert.deepStrictEqual(yield* table.groups, ["billing"])
        assert.isTrue(yield* table.hasGroup("billing"))
        assert.isFalse(yield* table.hasGroup("search"))
        assert.deepStrictEqual(yield* table.members("search"), [])
        assert.strictEqual(yield* table.memberCount("search"), 0)
      })
    )
  )

  it.effect("is a table by keys of two parts, with all that a table of a topic has", () =>
    onMemory(
      Effect.gen(function* () {
        const table = yield* GroupedKafkaTable.make(hosts)
        const writer = yield* GroupedKafkaTableWriter.make(hosts)
        yield* table.awaitOffset(yield* writer.set("a", "x", 1))
        const ack = yield* writer.set("a:", "1:y", 2)
        yield* table.awaitOffset(ack)
        const key = { group: "a:", member: "1:y" }
        assert.isTrue(GroupedKafkaTable.isGroupedKafkaTable(table))
        assert.isTrue(KafkaTable.isKafkaTable(table))
        assert.isTrue(Table.isTable(table))
        assert.deepStrictEqual(yield* table.get(key), Option.some(2))
        assert.strictEqual(table.view.get(key), 2)
        assert.isFalse(yield* table.has({ group: "a", member: ":1:y" }))
        assert.strictEqual(yield* table.size, 2)
        assert.deepStrictEqual(HashMap.get(yield* table.snapshot, key), Option.some(2))
        const entry = Option.getOrThrow(yield* table.getEntry(key))
        assert.deepStrictEqual([entry.key, entry.value, entry.partition], [key, 2, ack.partition])
        const { stats, status } = yield* table.health
        assert.deepStrictEqual([status._tag, stats.entries, stats.foreign], ["CaughtUp", 2, 0])
        const byValue = yield* Table.index(table, (n) => n)
        assert.deepStrictEqual(Array.from(byValue.view.get(2)!), [[key, 2]])
        yield* table.barrier()
      })
    )
  )

  it.effect("has the headers and timestamps that its writer gives, where it keeps them", () =>
    onMemory(
      Effect.gen(function* () {
        const table = yield* GroupedKafkaTable.make(hosts, { headers: true })
        const writer = yield* GroupedKafkaTableWriter.make(hosts)
        const by = (name: string) => ({ headers: [{ key: "by", value: name }], timestamp: 1000 })
        const authors = yield* Effect.map(
          KafkaTable.withMetadata(table),
          ({ view }) =>
            () =>
              Array.from(view, ([{ member }, { headers, timestamp }]) =>
                [member, timestamp, ...headers.map(({ value }) => Buffer.from(value!).toString())].join(" ")
              ).sort()
        )
        yield* table.awaitOffset(yield* writer.set("a", "x", 1, by("ada")))
        for (const ack of yield* writer.setAll([[{ group: "a", member: "y" }, 2, by("bo")]])) {
          yield* table.awaitOffset(ack)
        }
        assert.deepStrictEqual(authors(), ["x 1000 ada", "y 1000 bo"])
        yield* table.awaitOffset(yield* writer.delete("a", "x", by("cleo")))
        assert.deepStrictEqual(authors(), ["y 1000 bo"])
        const { headers } = Option.getOrThrow(yield* table.getEntry({ group: "a", member: "y" }))
        assert.deepStrictEqual(headers.map(({ key }) => key), ["by"]) // prettier-ignore
      })
    )
  )

  it.effect("gives its groups as tables, which have a write before anybody is resumed", () =>
    onMemory(
      Effect.gen(function* () {
        const table = yield* GroupedKafkaTable.make(hosts)
        const writer = yield* GroupedKafkaTableWriter.make(hosts)
        yield* table.awaitOffset(yield* writer.set("billing", "a", 1))
        const billing = yield* table.group("billing")
        const seen = yield* Effect.forkScoped(Stream.runCollect(Stream.take(billing.changes, 3)), {
          startImmediately: true
        })
        yield* table.awaitOffset(yield* writer.set("search", "b", 2))
        yield* table.awaitOffset(yield* writer.set("billing", "b", 3))
        assert.deepStrictEqual(inOrder(billing.view), [["a", 1], ["b", 3]]) // prettier-ignore
        yield* table.awaitOffset(yield* writer.delete("billing", "a"))
        assert.deepStrictEqual(yield* billing.entries, [["b", 3]])
        assert.deepStrictEqual(
          (yield* Fiber.join(seen)).map((change) => change._tag),
          ["Snapshot", "Set", "Deleted"]
        )
      })
    )
  )

  it.effect("is rebuilt with all its groups in one step, and its groups' tables get the difference", () =>
    onMemory(
      Effect.gen(function* () {
        const cluster = yield* kafka
        yield* cluster.createTopic("hosts")
        yield* put("hosts", [["1:ax", 1], ["1:ay", 2], ["1:bx", 3]]) // prettier-ignore
        const table = yield* GroupedKafkaTable.make(hosts)
        const a = yield* table.group("a")
        const versions = new Set<string>()
        const look = () =>
          versions.add(
            JSON.stringify([table.view.groups().toSorted(), inOrder(table.view.members("a")), inOrder(a.view)])
          )
        const changes: Array<string> = []
        yield* Effect.forkScoped(
          Stream.runForEach(a.changes, (change) =>
            Effect.sync(() => {
              look()
              changes.push(change._tag === "Snapshot" ? change._tag : `${change._tag} ${change.key}`)
            })
          ),
          { startImmediately: true }
        )
        look()
        yield* cluster.recreateTopic("hosts")
        yield* put("hosts", [["1:ay", 2], ["1:az", 4], ["1:cx", 5]]) // prettier-ignore
        for (let turn = 0; turn < 5000 && !table.view.hasGroup("c"); turn++) {
          yield* TestClock.adjust(10)
          look()
        }
        yield* eventually("the difference", () => changes.length === 3)
        assert.deepStrictEqual(changes.toSorted(), ["Deleted x", "Set z", "Snapshot"])
        assert.deepStrictEqual(
          [...versions],
          [
            [["a", "b"], [["x", 1], ["y", 2]], [["x", 1], ["y", 2]]], // prettier-ignore
            [["a", "c"], [["y", 2], ["z", 4]], [["y", 2], ["z", 4]]] // prettier-ignore
          ].map((version) => JSON.stringify(version))
        )
      })
    )
  )

  for (const seed of seedsOf(8, 500)) {
    it.effect(
      `shows each write in its group once it is awaited, of any names in several partitions (seed ${seed})`,
      () =>
        onMemory(
          Effect.gen(function* () {
            const { happens, pick } = chance(seed)
            const names = ["", "a", "1", "1:", "12:a", ":", "😀", "ключ", "é", "e\u0301", "👩‍👩‍👧"]
            const model = new Map<string, Map<string, number>>()
            const table = yield* GroupedKafkaTable.make(hosts)
            const writer = yield* GroupedKafkaTableWriter.make(hosts)
            const followed = yield* table.group("😀")
            for (let n = 0; n < 150; n++) {
              const [group, member] = [pick(names), pick(names)]
              const members = model.get(group) ?? new Map<string, number>()
              if (happens(0.5)) {
                yield* table.awaitOffset(yield* writer.set(group, member, n))
                model.set(group, members.set(member, n))
              } else {
                yield* table.awaitOffset(yield* writer.delete(group, member))
                members.delete(member)
                if (members.size === 0) model.delete(group)
              }
              assert.deepStrictEqual(inOrder(yield* table.members(group)), inOrder(model.get(group) ?? []))
              assert.sameMembers([...(yield* table.groups)], [...model.keys()])
              assert.deepStrictEqual(inOrder(followed.view), inOrder(model.get("😀") ?? []))
            }
            // Another one, which loads what this one followed.
            const loaded = yield* GroupedKafkaTable.make(hosts)
            assert.sameMembers([...(yield* loaded.groups)], [...model.keys()])
            for (const [group, members] of model) {
              assert.deepStrictEqual(inOrder(yield* loaded.members(group)), inOrder(members))
            }
            assert.strictEqual((yield* loaded.health).stats.keyDecodeErrors, 0)
          })
        ),
      propertyTimeout
    )
  }
})

describe("keys of another form", () => {
  const foreign = ["no prefix", "01:ab", "9:ab", "١:ab", ":", "", "😀"]
  const records = foreign.flatMap((key, n) => [
    { key, value: String(n) },
    { key: `${key} `, value: null }
  ])

  it.effect("are counted, logged now and then, and passed over, set or deleted, in a load and after it", () => {
    const lines: Array<string> = []
    const logger = Logger.make(({ message }) => {
      lines.push(String(message))
    })
    const kinds = Effect.map(Metric.snapshot, (all) =>
      all.flatMap((metric) =>
        metric.id === "ktables_errors_total" && metric.type === "Counter" && metric.attributes?.["topic"] === "mixed"
          ? [[metric.attributes["kind"], metric.state.count]]
          : []
      )
    )
    return onMemory(
      Effect.gen(function* () {
        const cluster = yield* kafka
        const topic = TableTopic.grouped({
          name: "mixed",
          group: Schema.String,
          member: Schema.String,
          value: Schema.Int
        })
        yield* cluster.createTopic("mixed")
        yield* put("mixed", [["1:ax", 1]])
        yield* cluster.append("mixed", records)
        yield* cluster.append("mixed", [{ key: Buffer.from([0x31, 0x3a, 0xff]), value: "1" }])
        const table = yield* GroupedKafkaTable.make(topic)
        assert.strictEqual((yield* table.health).stats.keyDecodeErrors, 15)
        assert.deepStrictEqual(yield* table.entries, [[{ group: "a", member: "x" }, 1]])
        assert.strictEqual(
          lines.filter((line) => line.includes("15 of 16 keys do not decode")).length,
          1,
          lines.join("\n")
        )
        assert.strictEqual(lines.filter((line) => line.includes("not the key of a grouped table")).length, 2)

        yield* cluster.append("mixed", records)
        yield* put("mixed", [["1:ay", 2]])
        yield* table.barrier()
        assert.strictEqual((yield* table.health).stats.keyDecodeErrors, 29)
        assert.deepStrictEqual(yield* table.groups, ["a"])
        assert.deepStrictEqual(inOrder(yield* table.members("a")), [["x", 1], ["y", 2]]) // prettier-ignore
        assert.deepStrictEqual(yield* kinds, [["key decode", 29]])
        // Those of the same kind are held back for a while.
        assert.strictEqual(lines.filter((line) => line.includes("not the key of a grouped table")).length, 2)
        yield* TestClock.adjust("11 seconds")
        yield* eventually("how many there were", () => lines.some((line) => /and \d+ more like it/.test(line)))
      }).pipe(Effect.provide(Logger.layer([logger])))
    )
  })

  it.effect("are what onDecodeError says", () =>
    onMemory(
      Effect.gen(function* () {
        const cluster = yield* kafka
        yield* cluster.createTopic("hosts")
        yield* cluster.append("hosts", [{ key: "01:ab", value: "1" }])
        const error = yield* Effect.flip(GroupedKafkaTable.make(hosts, { onDecodeError: "fail" }))
        if (error._tag !== "DecodeError") return assert.fail(error._tag)
        assert.strictEqual(error.part, "key")
        assert.include(error.message, "not the key of a grouped table: its length begins with a zero")
        const seen: Array<string> = []
        yield* GroupedKafkaTable.make(hosts, {
          onDecodeError: (_, { key }) =>
            Effect.sync(() => {
              seen.push(Buffer.from(key).toString())
              return "skip"
            })
        })
        assert.deepStrictEqual(seen, ["01:ab"])
      })
    )
  )

  it.effect("are keys where the topic has a codec of its own", () =>
    onMemory(
      Effect.gen(function* () {
        const path = Codec.string.pipe(
          Codec.map(
            (text) => {
              const at = text.indexOf("/")
              if (at < 0) throw new Error("there is no slash")
              return { group: text.slice(0, at), member: Number(text.slice(at + 1)) }
            },
            ({ group, member }) => `${group}/${member}`
          )
        )
        const topic = TableTopic.grouped({ name: "paths", key: path, value: Schema.Int })
        const table = yield* GroupedKafkaTable.make(topic)
        const writer = yield* GroupedKafkaTableWriter.make(topic)
        yield* writer.set("a", 1, 10)
        yield* put("paths", [["a/2", 20], ["1:ax", 30]]) // prettier-ignore
        yield* table.barrier()
        assert.deepStrictEqual(yield* table.members("a"), [[1, 10], [2, 20]]) // prettier-ignore
        assert.strictEqual((yield* table.health).stats.keyDecodeErrors, 1)
      })
    )
  )
})

describe("a writer of a grouped table", () => {
  it.effect("fails a write whose parts have no text, and writes the others", () =>
    onMemory(
      Effect.gen(function* () {
        const writer = yield* GroupedKafkaTableWriter.make(hosts)
        const error = yield* Effect.flip(writer.set("\ud83d", "\ude00", 1))
        if (error._tag !== "EncodeError") return assert.fail(error._tag)
        assert.strictEqual(error.part, "key")
        const failed = { group: "a", member: "\ud83d" }
        const all = yield* Effect.flip(
          writer.setAll([
            [failed, 1],
            [{ group: "a", member: "x" }, 2]
          ])
        )
        assert.deepStrictEqual([all.failures.map(({ key }) => key), all.acks.length], [[failed], 1])
        const table = yield* KafkaTable.make(hosts)
        assert.deepStrictEqual(yield* table.entries, [[{ group: "a", member: "x" }, 2]])
      })
    )
  )

  it.effect("writes what a flat table has as keys, and reads what a flat writer writes", () =>
    onMemory(
      Effect.gen(function* () {
        const flat = TableTopic.make({ name: "hosts", key: Schema.String, value: Schema.Int, partitions: 3 })
        const grouped = yield* GroupedKafkaTable.make(hosts)
        const table = yield* KafkaTable.make(flat)
        yield* table.awaitOffset(yield* (yield* GroupedKafkaTableWriter.make(hosts)).set("😀é", "1:m", 1))
        assert.deepStrictEqual(yield* table.entries, [["2:😀é1:m", 1]])
        yield* grouped.awaitOffset(yield* (yield* KafkaTableWriter.make(flat)).set("0:", 2))
        assert.deepStrictEqual(yield* grouped.members(""), [["", 2]])
      })
    )
  )
})

describe("services of grouped tables", () => {
  class Hosts extends GroupedKafkaTable.Service<Hosts>()("test/Hosts", hosts) {}
  class HostsWriter extends GroupedKafkaTableWriter.Service<HostsWriter>()("test/HostsWriter", hosts) {}

  it.effect("are given by one layer each, with options by others, and by any tag", () =>
    Effect.gen(function* () {
      class Other extends Context.Service<Other, GroupedKafkaTable.GroupedKafkaTable<string, string, number>>()(
        "test/OtherHosts"
      ) {}
      class OtherWriter extends Context.Service<
        OtherWriter,
        GroupedKafkaTableWriter.GroupedKafkaTableWriter<string, string, number>
      >()("test/OtherHostsWriter") {}
      assert.strictEqual(Hosts.layer, Hosts.layer)
      assert.strictEqual(Hosts.topic, hosts)
      assert.strictEqual(HostsWriter.layer, HostsWriter.layer)
      assert.strictEqual(HostsWriter.topic, hosts)
      const members = Effect.gen(function* () {
        const other = yield* Other
        yield* other.awaitOffset(yield* (yield* OtherWriter).set("a", "x", 1))
        const table = yield* Hosts
        yield* table.awaitOffset(yield* (yield* HostsWriter).set("a", "y", 2))
        return yield* table.members("a")
      }).pipe(
        Effect.provide([
          Hosts.layerWith({ changesCapacity: 10 }),
          HostsWriter.layerWith({ linger: 1 }),
          GroupedKafkaTable.layer(Other, hosts, { isolation: "read_uncommitted" }),
          GroupedKafkaTableWriter.layer(OtherWriter, hosts, { acks: "leader" })
        ]),
        Effect.provide(Layer.fresh(MemoryKafka.layer))
      )
      const read = yield* Effect.forkChild(members)
      for (let turn = 0; turn < 5000 && read.pollUnsafe() === undefined; turn++) yield* TestClock.adjust(10)
      assert.deepStrictEqual(inOrder(yield* Fiber.join(read)), [["x", 1], ["y", 2]]) // prettier-ignore
    })
  )
})

describe("the definition of a grouped topic", () => {
  it.effect("is asked for by name where plain JavaScript gives another", () =>
    onMemory(
      Effect.gen(function* () {
        const flat = TableTopic.make({ name: "flat", key: Schema.String, value: Schema.Int })
        assert.isTrue(TableTopic.isGrouped(hosts))
        assert.isFalse(TableTopic.isGrouped(flat))
        for (const make of [GroupedKafkaTable.make(flat as never), GroupedKafkaTableWriter.make(flat as never)]) {
          const error = yield* Effect.flip(make as Effect.Effect<unknown, TableError.InvalidOption, never>)
          assert.strictEqual(error._tag, "InvalidOption")
          assert.include(error.message, "TableTopic.grouped")
        }
      })
    )
  )

  it("refuses what it does not know, and both ways to give a key", () => {
    const parts = { name: "t", group: Schema.String, member: Schema.String, value: Schema.Int }
    const key = Codec.grouped(Codec.string, Codec.string)
    for (const [options, named] of [
      [{ ...parts, member: undefined }, "member"],
      [{ ...parts, group: "text" }, "group"],
      [{ ...parts, members: Schema.String }, "members"],
      [{ ...parts, key }, "group"],
      [{ name: "t", key: Schema.String, value: Schema.Int }, "key"],
      [null, ""]
    ] as const) {
      assert.throws(() => TableTopic.grouped(options as never), named)
    }
  })

  it("finds the types of groups, members and values, and what their codecs need", () => {
    class Salt extends Context.Service<Salt, string>()("test/Salt") {}
    const salted = Codec.make<`m${string}`, Salt>({
      decode: () => Effect.as(Salt, "m1" as const),
      encode: () => Effect.succeed(new Uint8Array(0))
    })
    const run = () => {
      const topic = TableTopic.grouped({
        name: "t",
        group: Schema.FiniteFromString,
        member: salted,
        value: Schema.Struct({ port: Schema.Int })
      })
      expectTypeOf(topic).toEqualTypeOf<
        TableTopic.GroupedTopic<number, `m${string}`, { readonly port: number }, Salt, never>
      >()
      const own = TableTopic.grouped({
        name: "t",
        key: Codec.grouped(Codec.string, Codec.bytes),
        value: Codec.string
      })
      expectTypeOf(own).toEqualTypeOf<TableTopic.GroupedTopic<string, Uint8Array, string>>()
      const table = GroupedKafkaTable.make(topic)
      type Hosts = GroupedKafkaTable.GroupedKafkaTable<number, `m${string}`, { readonly port: number }>
      expectTypeOf(table).toEqualTypeOf<
        Effect.Effect<Hosts, KafkaTable.StartError, KafkaClient.KafkaClient | Salt | Scope.Scope>
      >()
      expectTypeOf<Hosts>().toExtend<
        Table.Table<Codec.GroupKey<number, `m${string}`>, { readonly port: number }, TableError.ReaderError>
      >()
      expectTypeOf<ReturnType<Hosts["group"]>>().toEqualTypeOf<
        Effect.Effect<Table.Table<`m${string}`, { readonly port: number }, TableError.ReaderError>, never, Scope.Scope>
      >()
      type Key = Codec.GroupKey<string, Uint8Array>
      class Grouped extends Context.Service<Grouped, GroupedKafkaTable.GroupedKafkaTable<string, Uint8Array, string>>()(
        "test/Grouped"
      ) {}
      class Keeping extends Context.Service<Keeping, GroupedKafkaTable.WithHeaders<string, Uint8Array, string>>()(
        "test/Keeping"
      ) {}
      class Flat extends Context.Service<Flat, KafkaTable.KafkaTable<Key, string>>()("test/Flat") {}
      GroupedKafkaTable.layer(Grouped, own)
      GroupedKafkaTable.layer(Grouped, own, { headers: true })
      GroupedKafkaTable.layer(Keeping, own, { headers: true })
      // @ts-expect-error its entries would have no headers
      GroupedKafkaTable.layer(Keeping, own)
      KafkaTable.layer(Flat, own)
      // @ts-expect-error it would have no groups
      KafkaTable.layer(Grouped, own)
      const flat = TableTopic.make({ name: "t", key: Schema.String, value: Schema.Int })
      // @ts-expect-error its keys have no parts
      void GroupedKafkaTable.make(flat)
      // @ts-expect-error its keys have no parts
      void GroupedKafkaTableWriter.make(flat)
      const key = Codec.grouped(Codec.string, Codec.string)
      // @ts-expect-error a key of its own is the whole key
      TableTopic.grouped({ name: "t", key, group: Schema.String, value: flat.value })
      // @ts-expect-error a group encodes to a string
      TableTopic.grouped({ name: "t", group: Schema.Int, member: Schema.String, value: Schema.Int })
    }
    expectTypeOf(run).toBeFunction()
  })
})
