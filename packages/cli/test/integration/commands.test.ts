import { TestKafka } from "@effect-ktables/testing"
import { JavaPeer } from "@effect-ktables/testing/interop"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { parsed, run, start } from "../support/ktables.ts"
import { bare, isWhole, made, on, refusingPort, running } from "../support/onKafka.ts"

const missing = JavaPeer.unavailable()
const because = missing === undefined ? "" : ` (skipped: ${missing})`

const base64 = (text: string): string => Buffer.from(text).toString("base64")

describe.skipIf(missing !== undefined)(`ktables on Kafka${because}`, () => {
  layer(JavaPeer.layer.pipe(Layer.provideMerge(TestKafka.layer)), { excludeTestServices: true, timeout: 300_000 })(
    "on a broker",
    (it) => {
      it.effect("ls and get print what Java reads, whatever the bytes are", () =>
        Effect.gen(function* () {
          const java = yield* JavaPeer.JavaPeer
          const topic = yield* TestKafka.uniqueName("cli")
          yield* java.transactionalLog({ topic, seed: 11, partitions: 3 })
          const expected = yield* java.readCommitted(topic)
          const records = yield* java.committedRecords(topic)
          assert.isAbove(expected.table.size, 3)
          const listed = yield* on(["ls", topic, "--key", "bytes", "--value", "bytes"])
          assert.strictEqual(listed.code, 0, listed.stderr)
          const entries = parsed(listed.stdout)
          assert.deepStrictEqual(
            entries.map(({ key, value }) => [key, value]),
            [...expected.table].sort(([a], [b]) => Buffer.compare(Buffer.from(a, "base64"), Buffer.from(b, "base64")))
          )
          for (const { headers: _, ...entry } of entries) {
            const record = records.find((one) => one.partition === entry.partition && one.offset === entry.offset)
            const { key, offset, partition, timestamp, value } = record!
            assert.deepStrictEqual(entry, { key, value, partition, offset, timestamp })
          }
          const [first] = expected.table
          const got = yield* on(["get", topic, first![0], "--key", "bytes", "--value", "bytes"])
          assert.deepStrictEqual(
            parsed(got.stdout),
            entries.filter(({ key }) => key === first![0])
          )
        })
      )

      it.effect("ls sorts, takes a prefix, a limit, and the reverse", () =>
        Effect.gen(function* () {
          const java = yield* JavaPeer.JavaPeer
          const topic = yield* made({ partitions: 3 })
          const keys = ["b2", "a", "b1", "ö", "b10", "c"]
          yield* java.produce({ topic, records: keys.map((key) => ({ key, value: "1" })) })
          const listed = (...flags: ReadonlyArray<string>) =>
            Effect.map(on(["ls", topic, ...flags]), ({ stdout }) => parsed(stdout).map(({ key }) => key))
          assert.deepStrictEqual(yield* listed(), ["a", "b1", "b10", "b2", "c", "ö"])
          assert.deepStrictEqual(yield* listed("--prefix", "b", "--limit", "2"), ["b1", "b10"])
          assert.deepStrictEqual(yield* listed("--reverse", "--limit", "2"), ["ö", "c"])
          const { stdout } = yield* on(["ls", topic, "--output", "json"])
          assert.strictEqual(JSON.parse(stdout).length, 6)
        })
      )

      it.effect("ls shows numbers as they are written, and what is of another format in hexadecimal, and says so", () =>
        Effect.gen(function* () {
          const java = yield* JavaPeer.JavaPeer
          const topic = yield* made()
          const value = '{"id": 12345678901234567890,\n "e": 1e400}'
          yield* java.produce({
            topic,
            records: [
              { key: "big", value },
              { key: "raw", value: Uint8Array.of(0xff, 0x00) }
            ]
          })
          const { code, stderr, stdout } = yield* on(["ls", topic])
          assert.strictEqual(code, 0)
          assert.include(stdout, '"value":{"id": 12345678901234567890,  "e": 1e400},')
          assert.include(stdout, '"key":"raw","valueHex":"ff00",')
          assert.strictEqual(stderr, "ktables: 1 value is not json (see --value); shown in hexadecimal\n")
        })
      )

      it.effect("get prints partition, offset, age and headers, and says when there is no such key or topic", () =>
        Effect.gen(function* () {
          const java = yield* JavaPeer.JavaPeer
          const topic = yield* made()
          const timestamp = Date.now() - 125_000
          const headers = [
            { key: "author", value: "me" },
            { key: "none", value: null }
          ]
          yield* java.produce({ topic, records: [{ key: "k", value: "[1]", timestamp, headers }] })
          const { code, stdout } = yield* on(["get", topic, "k", "--output", "table"])
          assert.strictEqual(code, 0)
          assert.deepStrictEqual(stdout.split("\n"), [
            "key        k",
            "value      [1]",
            "partition  0",
            "offset     0",
            `age        2 min (${new Date(timestamp).toISOString()})`,
            "header     author=me",
            "header     none=(null)",
            ""
          ])
          const absent = yield* on(["get", topic, "K"])
          assert.deepStrictEqual([absent.code, absent.stdout], [4, ""])
          assert.strictEqual(
            absent.stderr,
            `ktables: ${topic} has no entry with "key":"K"; \`ktables ls ${topic}\` lists those it has\n`
          )
          const nowhere = yield* on(["get", `${topic}-not`, "k"])
          assert.deepStrictEqual([nowhere.code, nowhere.stdout], [4, ""])
          assert.include(nowhere.stderr, `topic ${topic}-not does not exist`)
        })
      )

      it.effect("set and delete write what Java reads, where the acknowledgement says", () =>
        Effect.gen(function* () {
          const java = yield* JavaPeer.JavaPeer
          const topic = yield* made({ partitions: 3 })
          const { topicId } = yield* java.describeTopic(topic)
          const ack = yield* on(["set", topic, "k", '{"a":1}'])
          assert.strictEqual(ack.code, 0, ack.stderr)
          const [{ timestamp: _, ...place }] = parsed(ack.stdout)
          assert.deepStrictEqual({ ...place, partition: 0 }, { topic, topicId, partition: 0, offset: 0 })
          const hex = yield* on(["set", topic, "00ff", "0001", "--key", "hex", "--value", "hex", "-o", "table"])
          assert.match(hex.stdout, new RegExp(`^written: ${topic}, partition \\d, offset \\d\n$`))
          assert.deepStrictEqual(
            new Map((yield* java.readCommitted(topic)).table),
            new Map([
              [base64("k"), base64('{"a":1}')],
              ["AP8=", "AAE="]
            ])
          )
          const removed = yield* on(["delete", topic, "k", "--yes"])
          assert.strictEqual(removed.code, 0, removed.stderr)
          assert.deepStrictEqual([...(yield* java.readCommitted(topic)).table], [["AP8=", "AAE="]])
          const tombstones = (yield* java.committedRecords(topic)).filter(({ value }) => value === null)
          assert.deepStrictEqual(
            tombstones.map(({ partition, offset }) => ({ partition, offset })),
            parsed(removed.stdout).map(({ partition, offset }) => ({ partition, offset }))
          )
          const unmade = yield* on(["set", `${topic}-not`, "k", "1"])
          assert.deepStrictEqual([unmade.code, unmade.stdout], [4, ""])
        })
      )

      it.effect("delete without --yes is refused where nobody can be asked, and asks on a terminal", () =>
        Effect.gen(function* () {
          const java = yield* JavaPeer.JavaPeer
          const topic = yield* made()
          yield* java.produce({ topic, records: [{ key: "k", value: "1" }] })
          const refused = yield* on(["delete", topic, "k"])
          assert.deepStrictEqual([refused.code, refused.stdout], [5, ""])
          assert.include(refused.stderr, "--yes")
          for (const [answer, code, left] of [
            ["n", 5, 1],
            ["\u0003", 130, 1],
            ["\u001b", 130, 1],
            ["y", 0, 0]
          ] as const) {
            const asked = yield* running(["delete", topic, "k"], { terminal: true })
            yield* asked.until((stdout) => bare(stdout).includes(`Delete k of ${topic}`))
            asked.type(answer)
            assert.strictEqual((yield* asked.ended).code, code, asked.stdout())
            assert.strictEqual((yield* java.readCommitted(topic)).table.size, left)
          }
        })
      )

      it.effect("topics tells those that look like tables, of ten of each kind", () =>
        Effect.gen(function* () {
          const kinds = { compact: "table", "compact,delete": "expiring", delete: "log" } as const
          const expected = new Map<string, unknown>()
          for (const [policy, fitness] of Object.entries(kinds)) {
            for (let i = 1; i <= 10; i++) {
              const topic = yield* made({ partitions: (i % 3) + 1, policy })
              expected.set(topic, { topic, partitions: (i % 3) + 1, policy, offsets: i === 1 ? 3 : 0, fitness })
              if (i > 1) continue
              const java = yield* JavaPeer.JavaPeer
              yield* java.produce({ topic, records: ["a", "b", "a"].map((key) => ({ key, value: key })) })
            }
          }
          const { code, stderr, stdout } = yield* on(["topics"])
          assert.strictEqual(code, 0, stderr)
          const listed = parsed(stdout)
          for (const [topic, description] of expected) {
            assert.deepStrictEqual(
              listed.filter((one) => one.topic === topic),
              [description]
            )
          }
          const names = listed.map(({ topic }) => topic)
          assert.deepStrictEqual(names, [...names].sort())
          assert.isFalse(names.some((name) => name.startsWith("__")))
        })
      )

      it.effect("watch in a pipe prints the entries, then each change, and ends at Ctrl-C with whole lines", () =>
        Effect.gen(function* () {
          const java = yield* JavaPeer.JavaPeer
          const topic = yield* made()
          const write = (key: string, value: string | null) => java.produce({ topic, records: [{ key, value }] })
          yield* write("b", "1")
          yield* write("a", "2")
          const [all, one] = [yield* running(["watch", topic]), yield* running(["watch", topic, "a"])]
          const text = yield* running(["watch", topic, "--output", "table"])
          yield* text.until((stdout) => stdout.includes("complete"))
          yield* all.until((stdout) => stdout.includes('"complete"'))
          yield* one.until((stdout) => stdout.includes('"complete"'))
          // One after the other, since of records that are read together only the last of a key is shown.
          yield* write("b", "3")
          yield* all.until((stdout) => stdout.includes('"value":3'))
          yield* text.until((stdout) => stdout.endsWith("b  3\n"))
          yield* write("a", null)
          for (const { until } of [all, one, text]) yield* until((stdout) => stdout.includes("deleted"))
          yield* write("a", "4")
          for (const { until } of [all, one]) yield* until((stdout) => stdout.includes('"value":4'))
          yield* text.until((stdout) => stdout.endsWith("a  4\n"))
          assert.deepStrictEqual(text.stdout().split("\n"), [
            "entry     a  2",
            "entry     b  1",
            "complete  2 entries",
            "set       b  3",
            "deleted   a",
            "set       a  4",
            ""
          ])
          const changes = (stdout: string) =>
            parsed(stdout).map(({ change, entries, key, offset, value }) => [change, key ?? entries, value, offset])
          for (const { ended, signal } of [all, one]) {
            signal("SIGINT")
            const { code, stdout } = yield* ended
            assert.strictEqual(code, 130)
            assert.isTrue(isWhole(stdout))
          }
          assert.deepStrictEqual(changes(all.stdout()), [
            ["entry", "a", 2, 1],
            ["entry", "b", 1, 0],
            ["complete", 2, undefined, undefined],
            ["set", "b", 3, 2],
            ["deleted", "a", undefined, undefined],
            ["set", "a", 4, 4]
          ])
          assert.deepStrictEqual(changes(one.stdout()), [
            ["entry", "a", 2, 1],
            ["complete", 1, undefined, undefined],
            ["deleted", "a", undefined, undefined],
            ["set", "a", 4, 4]
          ])
        })
      )

      it.effect("watch on a terminal draws the newest on top, and gives the terminal back at Ctrl-C", () =>
        Effect.gen(function* () {
          const java = yield* JavaPeer.JavaPeer
          const topic = yield* made()
          const write = (key: string, value: string | null) => java.produce({ topic, records: [{ key, value }] })
          yield* write("first", "1")
          const view = yield* running(["watch", topic], { terminal: true })
          const last = (stdout: string) => bare(stdout.slice(stdout.lastIndexOf("\u001b[H"))).split("\r\n")
          const drawn = (holds: (lines: ReadonlyArray<string>) => boolean) =>
            view.until((stdout) => holds(last(stdout)))
          yield* drawn((lines) => lines[0]!.includes("live, 1 entry") && lines[3]?.startsWith("first") === true)
          yield* write("second", '"\\u001b[31m\u009b"')
          yield* drawn((lines) => lines[0]!.includes("2 entries") && lines[3]?.startsWith("second") === true)
          assert.include(view.stdout(), "\u001b[32msecond")
          yield* write("first", null)
          yield* drawn((lines) => lines[3]?.includes("(deleted)") === true)
          assert.notInclude(view.stdout(), "\u009b")
          view.type("\u0003")
          const { code, stdout } = yield* view.ended
          assert.strictEqual(code, 130)
          assert.include(stdout, "\u001b[?1049h")
          assert.isTrue(stdout.lastIndexOf("\u001b[?25h\u001b[?1049l") > stdout.lastIndexOf("\u001b[H"))
        })
      )

      it.effect(
        "a terminal is given a table in its width, progress that is wiped away, and no colours under NO_COLOR",
        () =>
          Effect.gen(function* () {
            const java = yield* JavaPeer.JavaPeer
            const topic = yield* made()
            yield* java.produce({ topic, records: [{ key: "k", value: JSON.stringify("x".repeat(300)) }] })
            const { code, stdout } = yield* on(["ls", topic], { terminal: true })
            assert.strictEqual(code, 0, stdout)
            const lines = bare(stdout.slice(stdout.lastIndexOf("\u001b[K") + 3)).split("\r\n")
            assert.match(lines[0]!, /^KEY +PARTITION +OFFSET +AGE +VALUE$/)
            assert.strictEqual(lines[1]!.length, 100)
            assert.isTrue(lines[1]!.endsWith("…"))
            const plain = yield* running(["watch", topic], { terminal: true, env: { NO_COLOR: "1" } })
            yield* plain.until((out) => out.includes("live"))
            yield* java.produce({ topic, records: [{ key: "k", value: "1" }] })
            yield* plain.until((out) => /\r\nk +1 /.test(bare(out)))
            plain.type("\u0003")
            const dumb = yield* running(["watch", topic, "k"], { terminal: true, env: { TERM: "dumb" } })
            yield* dumb.until((out) => out.includes("complete  1 entry\r\n"))
            dumb.type("\u0003")
            assert.notInclude((yield* dumb.ended).stdout, "\u001b")
            // oxlint-disable-next-line no-control-regex
            assert.notMatch((yield* plain.ended).stdout, /\u001b\[[0-9;]*m/)
          })
      )

      it.effect("who stops reading stops the command without a complaint", () =>
        Effect.gen(function* () {
          const java = yield* JavaPeer.JavaPeer
          const { brokers } = yield* TestKafka.TestKafka
          const topic = yield* made()
          const records = Array.from({ length: 3000 }, (_, i) => ({
            key: `k${i}`,
            value: JSON.stringify("x".repeat(100))
          }))
          yield* java.produce({ topic, records })
          const { ended } = yield* start(["ls", topic], {
            env: { KAFKA_BROKERS: brokers.join(",") },
            through: "head -n 1"
          })
          const { code, stderr, stdout } = yield* ended
          assert.deepStrictEqual([code, stderr, parsed(stdout)[0].key], [0, "", "k0"])
        })
      )

      it.effect("Ctrl-C at any moment leaves no half line", () =>
        Effect.gen(function* () {
          const java = yield* JavaPeer.JavaPeer
          const topic = yield* made()
          const value = JSON.stringify("x".repeat(500))
          yield* java.produce({ topic, records: Array.from({ length: 5000 }, (_, i) => ({ key: `k${i}`, value })) })
          for (const output of ["ndjson", "json", "table"]) {
            const listing = yield* running(["ls", topic, "--output", output])
            yield* listing.until((stdout) => stdout !== "")
            listing.signal("SIGINT")
            const { code, stdout } = yield* listing.ended
            assert.include([0, 130], code)
            assert.isTrue(isWhole(stdout), stdout.slice(-100))
          }
          const early = yield* running(["ls", topic])
          early.signal("SIGINT")
          assert.deepStrictEqual((yield* early.ended).stdout, "")
        })
      )

      it.effect("brokers that are away are named, with what was tried, and an exit code of their own", () =>
        Effect.gen(function* () {
          const port = yield* refusingPort
          for (const args of [
            ["ls", "t"],
            ["get", "t", "k"],
            ["watch", "t"],
            ["set", "t", "k", "1"],
            ["delete", "t", "k", "--yes"],
            ["history", "t", "k"],
            ["at", "t", "1h"],
            ["diff", "t", "1h", "now"],
            ["topics"]
          ]) {
            const ended = yield* run([...args, "--brokers", `127.0.0.1:${port}`, "--timeout", "1"])
            assert.deepStrictEqual([ended.code, ended.stdout], [3, ""], args.join(" "))
            assert.include(ended.stderr, `127.0.0.1:${port}`)
            assert.include(ended.stderr, "ECONNREFUSED")
          }
        })
      )
    }
  )
})
