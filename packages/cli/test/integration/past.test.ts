import { TestKafka } from "@effect-ktables/testing"
import { JavaPeer } from "@effect-ktables/testing/interop"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer, Schedule } from "effect"
import { parsed } from "../support/ktables.ts"
import { bare, isWhole, made, on, running } from "../support/onKafka.ts"

const missing = JavaPeer.unavailable()
const because = missing === undefined ? "" : ` (skipped: ${missing})`

const wrote = Effect.fnUntraced(function* (topic: string, records: ReadonlyArray<readonly [string, string | null]>) {
  const java = yield* JavaPeer.JavaPeer
  yield* java.produce({ topic, records: records.map(([key, value]) => ({ key, value })) })
})

/** Results, and the last line, which says whether they are all there are. */
const answerOf = (stdout: string) => {
  const lines = parsed(stdout)
  return { found: lines.slice(0, -1), last: lines.at(-1) }
}

const entriesOf = (stdout: string) => answerOf(stdout).found.map(({ key, value }) => [key, value])

const whole = (offset: number) => [{ partition: 0, offset, logStart: 0, completeFrom: 0 }]

describe.skipIf(missing !== undefined)(`the past in the terminal, on Kafka${because}`, () => {
  layer(JavaPeer.layer.pipe(Layer.provideMerge(TestKafka.layer)), { excludeTestServices: true, timeout: 300_000 })(
    "on a broker",
    (it) => {
      it.effect("at shows the entries as they were at offsets and times", () =>
        Effect.gen(function* () {
          const topic = yield* made()
          yield* wrote(topic, [
            ["a", "1"],
            ["b", "2"],
            ["a", "3"],
            ["b", null]
          ])
          const shown = yield* on(["at", topic, "0:3"])
          assert.deepStrictEqual([shown.code, shown.stderr], [0, ""])
          assert.deepStrictEqual(entriesOf(shown.stdout), [
            ["a", 3],
            ["b", 2]
          ])
          assert.deepStrictEqual(entriesOf((yield* on(["at", topic, "now"])).stdout), [["a", 3]])
          assert.deepStrictEqual(entriesOf((yield* on(["at", topic, "1h"])).stdout), [])
          assert.deepStrictEqual(answerOf(shown.stdout).last, { complete: true, partitions: whole(3) })
          const { entries, ...head } = JSON.parse((yield* on(["at", topic, "0:1", "--output", "json"])).stdout)
          assert.deepStrictEqual(
            entries.map(({ offset }: { readonly offset: number }) => offset),
            [0]
          )
          assert.deepStrictEqual(head, { complete: true, partitions: whole(1) })
          const empty = JSON.parse((yield* on(["at", topic, "0:0", "--output", "json"])).stdout)
          assert.deepStrictEqual(empty, { complete: true, partitions: whole(0), entries: [] })
          const table = yield* on(["at", topic, "0:1", "--output", "table"])
          assert.match(table.stdout, /^KEY .*\na .*\ncomplete: 1 entry at 0:1, none is missing\n$/)
          // What it printed is a file that import takes, its last line included.
          const restored = yield* on(["import", topic, "-", "--replace", "--yes"], { input: shown.stdout })
          assert.strictEqual(restored.code, 0, restored.stderr)
          assert.deepStrictEqual(entriesOf((yield* on(["at", topic, "now"])).stdout), entriesOf(shown.stdout))
        })
      )

      it.effect("diff shows what was added, changed and removed between times, offsets, or one of each", () =>
        Effect.gen(function* () {
          const java = yield* JavaPeer.JavaPeer
          const topic = yield* made()
          const noon = Date.parse("2026-01-31T12:00:00Z")
          const log = [
            ["same", "1"],
            ["other", "2"],
            ["gone", "3"],
            ["same", "1"],
            ["other", "20"],
            ["gone", null],
            ["new", "4"]
          ] as const
          const records = log.map(([key, value], i) => ({ key, value, timestamp: noon + 60_000 * i }))
          yield* java.produce({ topic, records })
          const expected = [
            ["removed", "gone", 3, undefined],
            ["added", "new", undefined, 4],
            ["changed", "other", 2, 20]
          ]
          for (const [from, to] of [
            ["0:3", "now"],
            ["2026-01-31T12:03:00Z", "2026-01-31T12:07:00Z"],
            ["2026-01-31T12:03:00Z", "0:7"],
            ["0:3", "1s"]
          ] as const) {
            const { code, stderr, stdout } = yield* on(["diff", topic, from, to])
            assert.deepStrictEqual([code, stderr], [0, ""])
            const { found, last } = answerOf(stdout)
            assert.deepStrictEqual(
              found.map(({ change, from, key, to }) => [change, key, from?.value, to?.value]),
              expected
            )
            assert.deepStrictEqual(last, { complete: true, from: whole(3), to: whole(7) })
          }
          const { differences } = JSON.parse((yield* on(["diff", topic, "0:3", "0:5", "-o", "json"])).stdout)
          assert.strictEqual(differences.length, 1)
          const table = yield* on(["diff", topic, "0:3", "0:3", "--output", "table"])
          assert.deepStrictEqual(
            [table.code, table.stderr, table.stdout],
            [0, "", "complete: 0 differences, none is missing\n"]
          )
        })
      )

      it.effect("history prints every record of a key, and no other's", () =>
        Effect.gen(function* () {
          const topic = yield* made({ partitions: 3 })
          yield* wrote(topic, [
            ["a", "1"],
            ["b", "2"],
            ["a", null],
            ["a", "no JSON"]
          ])
          const { code, stderr, stdout } = yield* on(["history", topic, "a"])
          assert.deepStrictEqual([code, stderr], [0, ""])
          const { found, last } = answerOf(stdout)
          assert.deepStrictEqual(
            found.map(({ change, value, valueHex }) => [change, value ?? valueHex]),
            [
              ["set", 1],
              ["deleted", undefined],
              ["set", Buffer.from("no JSON").toString("hex")]
            ]
          )
          const [{ completeFrom, logStart, partition }] = last.partitions
          assert.deepStrictEqual([last.complete, last.partitions.length, logStart, completeFrom], [true, 1, 0, 0])
          const json = JSON.parse((yield* on(["history", topic, "a", "--all", "-o", "json"])).stdout)
          assert.deepStrictEqual([json.complete, json.partitions.length, json.records.length], [true, 3, 3])
          const table = yield* on(["history", topic, "a", "-o", "table"])
          assert.match(table.stdout, /^AGE .*\n.* 1\n.*\(deleted\)\n.*\(not json\) .*\ncomplete: 3 records, /)
          assert.include(table.stdout, `all that there ever were in partition ${partition}\n`)
          const absent = yield* on(["history", topic, "absent"])
          const { found: none, last: reach } = answerOf(absent.stdout)
          assert.deepStrictEqual([absent.code, none, reach.complete], [4, [], true])
          assert.include(absent.stderr, "--all")
        })
      )

      it.effect("each says from where on it is complete, where compaction has removed records", () =>
        Effect.gen(function* () {
          const { admin } = yield* TestKafka.TestKafka
          const topic = yield* TestKafka.uniqueName("cli")
          yield* admin.createTopic({
            topic,
            config: {
              "cleanup.policy": "compact",
              "segment.bytes": "1048576",
              "segment.ms": "100",
              "min.cleanable.dirty.ratio": "0"
            }
          })
          const isCleaned = Effect.gen(function* () {
            // A segment is closed by what comes after its time.
            yield* wrote(topic, [
              ["a", "1"],
              ["b", "2"]
            ])
            return yield* on(["at", topic, "0:2"])
          })
          const { stderr, stdout } = yield* Effect.repeat(isCleaned, {
            until: ({ stderr }) => stderr !== "",
            schedule: Schedule.spaced("500 millis"),
            times: 60
          })
          assert.match(stderr, /^ktables: keys may be missing at 0:2: .* complete from 0:\d+ on\n$/)
          const { last } = answerOf(stdout)
          const [{ completeFrom }] = last.partitions
          assert.isFalse(last.complete)
          assert.isAbove(completeFrom, 2)
          const history = yield* on(["history", topic, "a"])
          assert.deepStrictEqual([history.code, answerOf(history.stdout).last.complete], [0, false])
          assert.match(history.stderr, /partition 0 is complete from offset \d+ on/)
          const diff = yield* on(["diff", topic, "0:2", "now"])
          assert.include(diff.stderr, "keys may be missing at 0:2")
          const difference = answerOf(diff.stdout).last
          assert.deepStrictEqual([difference.complete, difference.from[0].offset], [false, 2])
          const refused = yield* on(["import", topic, "-", "--yes"], { input: stdout })
          assert.deepStrictEqual([refused.code, refused.stdout], [2, ""])
          assert.include(refused.stderr, "keys may be missing")
          for (const args of [
            ["at", topic, "0:2"],
            ["diff", topic, "0:2", "now"],
            ["history", topic, "a"]
          ]) {
            const { stderr, stdout } = yield* on([...args, "-o", "table"])
            assert.match(stdout, /^not complete: .*\bcomplete from .*\n$/m)
            assert.strictEqual(stderr, "")
            const terminal = bare((yield* on(args, { terminal: true })).stdout)
            assert.match(terminal, /^not complete: .*\bcomplete from .*\r\n$/m)
          }
        })
      )

      it.effect("what is given wrong, and topics that are not there, have their exit codes", () =>
        Effect.gen(function* () {
          const topic = yield* made()
          yield* wrote(topic, [["a", "1"]])
          const cases: ReadonlyArray<readonly [args: ReadonlyArray<string>, code: number, said: string]> = [
            ...["yesterday", "0:1,0:2", "12", "2026-13-01", "-1h"].map(
              (wrong) => [["at", topic, "--", wrong], 2, "no place in the past"] as const
            ),
            [["diff", topic, "yesterday", "now"], 2, "no place in the past"],
            [["diff", topic, "now", "yesterday"], 2, "no place in the past"],
            [["at", topic], 2, "time"],
            [["diff", topic, "now"], 2, "to"],
            [["history", topic], 2, "key"],
            [["history", topic, "0g", "--key", "hex"], 2, "the key does not fit --key hex"],
            [["at", topic, "0:2"], 1, "ends at 1, below the offset 2"],
            [["diff", topic, "0:0", "1:0"], 2, "partition"],
            [["at", `${topic}-not`, "now"], 4, "ktables topics"],
            [["diff", `${topic}-not`, "1h", "now"], 4, "ktables topics"],
            [["history", `${topic}-not`, "a"], 4, "ktables topics"]
          ]
          yield* Effect.forEach(
            cases,
            ([args, wanted, said]) =>
              Effect.map(on(args), ({ code, stderr, stdout }) => {
                assert.deepStrictEqual([args, code, stdout], [args, wanted, ""], stderr)
                assert.include(stderr, said)
                assert.notInclude(stderr, "    at ")
              }),
            { concurrency: 2 }
          )
        })
      )

      it.effect("Ctrl-C leaves no half line", () =>
        Effect.gen(function* () {
          const topic = yield* made()
          const value = JSON.stringify("x".repeat(500))
          yield* wrote(
            topic,
            Array.from({ length: 5000 }, (_, i) => [`k${i % 2500}`, value])
          )
          for (const args of [
            ["at", topic, "now"],
            ["diff", topic, "0:0", "now"],
            ["history", topic, "k1"]
          ]) {
            for (const output of ["ndjson", "table"]) {
              const reading = yield* running([...args, "--output", output])
              yield* reading.until((stdout) => stdout !== "")
              reading.signal("SIGINT")
              const { code, stdout } = yield* reading.ended
              assert.include([0, 130], code)
              assert.isTrue(isWhole(stdout), stdout.slice(-100))
              if (code === 0 && output === "ndjson") assert.isTrue(answerOf(stdout).last.complete)
            }
            const early = yield* running(args)
            early.signal("SIGINT")
            assert.strictEqual((yield* early.ended).stdout, "")
          }
        })
      )
    }
  )
})
