import { TestKafka } from "@effect-ktables/testing"
import { JavaPeer } from "@effect-ktables/testing/interop"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer, Schedule } from "effect"
import { parsed } from "../support/ktables.ts"
import { made, on } from "../support/onKafka.ts"

const missing = JavaPeer.unavailable()
const because = missing === undefined ? "" : ` (skipped: ${missing})`

const wrote = Effect.fnUntraced(function* (topic: string, records: ReadonlyArray<readonly [string, string | null]>) {
  const java = yield* JavaPeer.JavaPeer
  yield* java.produce({ topic, records: records.map(([key, value]) => ({ key, value })) })
})

const entriesOf = (stdout: string) => parsed(stdout).map(({ key, value }) => [key, value])

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
          const { stdout } = yield* on(["at", topic, "0:1", "--output", "json"])
          assert.deepStrictEqual(
            JSON.parse(stdout).map(({ offset }: { readonly offset: number }) => offset),
            [0]
          )
        })
      )

      it.effect("diff shows what was added, changed and removed", () =>
        Effect.gen(function* () {
          const topic = yield* made()
          yield* wrote(topic, [
            ["same", "1"],
            ["other", "2"],
            ["gone", "3"],
            ["same", "1"],
            ["other", "20"],
            ["gone", null],
            ["new", "4"]
          ])
          const { code, stderr, stdout } = yield* on(["diff", topic, "0:3", "now"])
          assert.deepStrictEqual([code, stderr], [0, ""])
          assert.deepStrictEqual(
            parsed(stdout).map(({ change, from, key, to }) => [change, key, from?.value, to?.value]),
            [
              ["removed", "gone", 3, undefined],
              ["added", "new", undefined, 4],
              ["changed", "other", 2, 20]
            ]
          )
          const table = yield* on(["diff", topic, "0:3", "0:3", "--output", "table"])
          assert.deepStrictEqual([table.code, table.stderr], [0, "0 differences\n"])
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
          assert.deepStrictEqual(
            parsed(stdout).map(({ change, value, valueHex }) => [change, value ?? valueHex]),
            [
              ["set", 1],
              ["deleted", undefined],
              ["set", Buffer.from("no JSON").toString("hex")]
            ]
          )
          const absent = yield* on(["history", topic, "absent"])
          assert.deepStrictEqual([absent.code, absent.stdout], [4, ""])
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
            const { stderr } = yield* on(["at", topic, "0:2"])
            return stderr
          })
          const stderr = yield* Effect.repeat(isCleaned, {
            until: (stderr) => stderr !== "",
            schedule: Schedule.spaced("500 millis"),
            times: 60
          })
          assert.match(stderr, /^ktables: keys may be missing at 0:2: .* complete from 0:\d+ on\n$/)
          const history = yield* on(["history", topic, "a"])
          assert.strictEqual(history.code, 0)
          assert.match(history.stderr, /partition 0 is complete from offset \d+ on/)
          assert.include((yield* on(["diff", topic, "0:2", "now"])).stderr, "keys may be missing at 0:2")
        })
      )

      it.effect("says what a place is, and where there is no such topic", () =>
        Effect.gen(function* () {
          for (const wrong of ["yesterday", "0:1,0:2", "12", "2026-13-01", "-1h"]) {
            const { code, stderr } = yield* on(["at", "flags", "--", wrong])
            assert.deepStrictEqual([wrong, code], [wrong, 2])
            assert.include(stderr, "no place in the past")
          }
          const absent = yield* on(["at", "flags-that-are-absent", "now"])
          assert.strictEqual(absent.code, 4)
          assert.include(absent.stderr, "ktables topics")
        })
      )
    }
  )
})
