/**
 * Grouped tables beside Python's ktables 2.0.0 on a real Kafka: each side follows and loads what the other writes. It needs
 * Python, and fails where there is none.
 */
import { TestKafka } from "@effect-ktables/testing"
import { type PeerRecord, PythonPeer } from "@effect-ktables/testing/interop"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Option, Schema } from "effect"
import { GroupedKafkaTable, GroupedKafkaTableWriter, KafkaTable, TableTopic } from "effect-ktables"
import { type Chance, chance } from "../support/chance.ts"
import { onTestKafka, transports } from "./support.ts"

const names = [
  "",
  "a",
  "ab",
  "1",
  "1:",
  "12:a",
  ":",
  "::",
  "é",
  "e\u0301",
  "ключ",
  "😀",
  "👩‍👩‍👧",
  "a😀b",
  "\ufeff",
  "\u0000",
  "\uffff"
]

type Groups = ReadonlyMap<string, ReadonlyMap<string, unknown>>

/** A plain value, with groups and members in one order. */
const plain = (groups: Iterable<readonly [string, Iterable<readonly [string, unknown]>]>): string =>
  JSON.stringify(
    Array.from(groups, ([group, members]) => [group, [...members].sort(([a], [b]) => (a < b ? -1 : 1))] as const).sort(
      ([a], [b]) => (a < b ? -1 : 1)
    )
  )

const ours = <V>({ view }: GroupedKafkaTable.GroupedKafkaTable<string, string, V>): string =>
  plain(view.groups().map((group) => [group, view.members(group)] as const))

/** Keys of any form: text that nearly is a key, and bytes that are no text. */
const anyKey = ({ below, happens, pick }: Chance): Uint8Array => {
  const prefix = pick([
    "",
    "0",
    "1",
    "2",
    "00",
    "01",
    "5",
    "10",
    "+1",
    " 1",
    "1_0",
    "١",
    "9999999999",
    "1".repeat(5000)
  ])
  const bytes = Buffer.from(`${prefix}${pick([":", ":", ""])}${pick(names)}${pick(names)}`)
  if (bytes.length > 0 && happens(0.2)) bytes[below(bytes.length)] = below(256)
  return bytes
}

for (const transport of transports) {
  layer(PythonPeer.layer.pipe(Layer.provideMerge(onTestKafka(transport.client))), {
    excludeTestServices: true,
    timeout: 300_000
  })(`Python's grouped tables beside ours, through ${transport.name}`, (it) => {
    for (const partitions of [1, 5]) {
      it.effect(`follow and load what the other side sets and deletes, in ${partitions} partition(s)`, () =>
        Effect.gen(function* () {
          const python = yield* PythonPeer.PythonPeer
          const { happens, pick } = chance(partitions)
          const name = yield* TestKafka.uniqueName("grouped")
          const topic = TableTopic.grouped({
            name,
            group: Schema.String,
            member: Schema.String,
            value: Schema.Struct({ by: Schema.String, n: Schema.Int }),
            partitions
          })
          const table = yield* GroupedKafkaTable.make(topic)
          const writer = yield* GroupedKafkaTableWriter.make(topic)
          const theirs = yield* python.groupedTable({ topic: name, partitions })
          const emoji = yield* table.group("😀")

          const model = new Map<string, Map<string, { readonly by: string; readonly n: number }>>()
          /** Members that each side has written: it has to find the other's key in its own partition. */
          const writtenBy = new Map<string, Set<string>>()
          for (let n = 0; n < 250; n++) {
            const [group, member] = [pick(names), pick(names)]
            const by = happens(0.5) ? "ours" : "theirs"
            const pair = JSON.stringify([group, member])
            writtenBy.set(pair, (writtenBy.get(pair) ?? new Set()).add(by))
            const members = model.get(group) ?? new Map<string, { readonly by: string; readonly n: number }>()
            if (happens(0.4)) {
              if (by === "theirs") yield* theirs.delete(group, member)
              else yield* table.awaitOffset(yield* writer.delete(group, member))
              members.delete(member)
              if (members.size === 0) model.delete(group)
            } else {
              const value = { by, n }
              if (by === "theirs") yield* theirs.set(group, member, value)
              else {
                yield* table.awaitOffset(yield* writer.set(group, member, value))
                // One's own write, whatever Python has written before it.
                assert.deepStrictEqual(new Map(yield* table.members(group)).get(member), value)
              }
              model.set(group, members.set(member, value))
            }
          }
          yield* table.barrier()
          assert.isTrue(yield* theirs.barrier)
          const expected = plain(model)
          assert.strictEqual(ours(table), expected)
          assert.strictEqual(plain((yield* theirs.dump) as Groups), expected)
          assert.strictEqual(plain([["😀", emoji.view]]), plain([["😀", model.get("😀") ?? []]]))
          assert.isAbove([...writtenBy.values()].filter(({ size }) => size === 2).length, 20)

          // Those that load what the others followed.
          const loaded = yield* GroupedKafkaTable.make(topic)
          assert.strictEqual(ours(loaded), expected)
          const theirsLoaded = yield* python.groupedTable({ topic: name, partitions })
          assert.strictEqual(plain((yield* theirsLoaded.dump) as Groups), expected)

          // No key lies in two partitions, and none of them is of another form.
          for (const { stats } of [yield* table.health, yield* loaded.health]) {
            assert.deepStrictEqual([stats.foreign, stats.keyDecodeErrors], [0, 0])
          }
          assert.strictEqual((yield* theirs.state).foreignKeys, 0)
        })
      )
    }

    it.effect("delete the last member of a group of the other side's, and the group is gone on both", () =>
      Effect.gen(function* () {
        const python = yield* PythonPeer.PythonPeer
        const name = yield* TestKafka.uniqueName("emptied")
        const topic = TableTopic.grouped({ name, group: Schema.String, member: Schema.String, value: Schema.Int })
        const table = yield* GroupedKafkaTable.make(topic)
        const writer = yield* GroupedKafkaTableWriter.make(topic)
        const theirs = yield* python.groupedTable({ topic: name })
        yield* writer.set("😀", "ours", 1)
        yield* theirs.set("é", "theirs", 2)
        yield* table.barrier()
        assert.isTrue(yield* theirs.barrier)
        assert.strictEqual(ours(table), plain([["😀", [["ours", 1]]], ["é", [["theirs", 2]]]])) // prettier-ignore
        assert.strictEqual(plain((yield* theirs.dump) as Groups), ours(table))
        yield* theirs.delete("😀", "ours")
        yield* table.awaitOffset(yield* writer.delete("é", "theirs"))
        yield* table.barrier()
        assert.isTrue(yield* theirs.barrier)
        assert.deepStrictEqual(yield* table.groups, [])
        assert.strictEqual((yield* theirs.dump).size, 0)
      })
    )

    it.effect("take the same keys for theirs, of any bytes, set or deleted, and count all others", () =>
      Effect.gen(function* () {
        const python = yield* PythonPeer.PythonPeer
        const random = chance(1)
        const name = yield* TestKafka.uniqueName("foreign")
        const topic = TableTopic.grouped({
          name,
          group: Schema.String,
          member: Schema.String,
          value: Schema.Int,
          partitions: 3
        })
        const table = yield* GroupedKafkaTable.make(topic)
        const theirs = yield* python.groupedTable({ topic: name, partitions: 3 })
        const keys = new Map(
          Array.from({ length: 500 }, () => anyKey(random)).map((key) => [Buffer.from(key).toString("hex"), key])
        )
        const records: Array<PeerRecord> = Array.from(keys.values(), (key, n) => ({
          key,
          value: n % 4 === 0 ? null : String(n)
        }))
        yield* python.produce({ client: "aiokafka", topic: name, records })
        yield* table.barrier()
        assert.isTrue(yield* theirs.barrier)
        assert.strictEqual(ours(table), plain((yield* theirs.dump) as Groups))
        const state = yield* theirs.state
        const { stats } = yield* table.health
        assert.isAbove(state.foreignKeys, 100)
        assert.isAbove(stats.entries, 50)
        // Python counts keys that are no text by themselves.
        assert.strictEqual(stats.keyDecodeErrors, state.foreignKeys + state.keyDecodeErrors)
        const loaded = yield* GroupedKafkaTable.make(topic)
        assert.strictEqual(ours(loaded), ours(table))
        assert.strictEqual((yield* loaded.health).stats.keyDecodeErrors, stats.keyDecodeErrors)
      })
    )

    it.effect("refuse the same names, and put each key into the same partition", () =>
      Effect.gen(function* () {
        const python = yield* PythonPeer.PythonPeer
        const name = yield* TestKafka.uniqueName("places")
        const topic = TableTopic.grouped({
          name,
          group: Schema.String,
          member: Schema.String,
          value: Schema.Int,
          partitions: 7
        })
        const table = yield* KafkaTable.make(topic)
        const writer = yield* GroupedKafkaTableWriter.make(topic)
        const theirs = yield* python.groupedTable({ topic: name, partitions: 7 })
        for (const [group, member] of [
          ["\ud83d", "\ude00"],
          ["a", "\ud83d"],
          ["\ude00", ""]
        ] as const) {
          // prettier-ignore
          assert.strictEqual((yield* Effect.flip(writer.set(group, member, 1)))._tag, "EncodeError")
          const error = yield* Effect.flip(theirs.set(group, member, 1))
          assert.strictEqual(error._tag === "PeerFailed" ? error.type : error._tag, "UnicodeEncodeError")
        }
        const places = new Set<number>()
        for (const group of names) {
          for (const member of ["", "a", "😀"]) {
            const { partition } = yield* writer.set(group, member, 1)
            places.add(partition)
            yield* theirs.set(group, member, 2)
            yield* table.barrier()
            const entry = Option.getOrThrow(yield* table.getEntry({ group, member }))
            assert.deepStrictEqual([entry.value, entry.partition], [2, partition], JSON.stringify([group, member]))
          }
        }
        assert.strictEqual(places.size, 7)
      })
    )
  })
}
