import { TestKafka } from "@effect-ktables/testing"
import { JavaPeer } from "@effect-ktables/testing/interop"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import * as path from "node:path"
import { gunzipSync } from "node:zlib"
import { parsed, run } from "../support/ktables.ts"
import { bare, folder, isWhole, made, on, refusingPort, running } from "../support/onKafka.ts"

const missing = JavaPeer.unavailable()
const because = missing === undefined ? "" : ` (skipped: ${missing})`

const none = { added: 0, changed: 0, deleted: 0, unchanged: 0, unwritten: 0, unknown: 0 }

describe.skipIf(missing !== undefined)(`export and import on Kafka${because}`, () => {
  layer(JavaPeer.layer.pipe(Layer.provideMerge(TestKafka.layer)), { excludeTestServices: true, timeout: 300_000 })(
    "on a broker",
    (it) => {
      it.effect("export, import elsewhere and export give equal bytes, whatever the bytes are, compressed or not", () =>
        Effect.gen(function* () {
          const java = yield* JavaPeer.JavaPeer
          const [from, to] = [yield* made({ partitions: 3 }), yield* made({ partitions: 2 })]
          const headers = [
            { key: "h", value: "1" },
            { key: "h", value: Uint8Array.of(0xff) },
            { key: "none", value: null }
          ]
          yield* java.produce({
            topic: from,
            records: [
              { key: "gone", value: "1" },
              { key: "gone", value: null },
              { key: "ö", value: ' {"id": 12345678901234567890,\n "a": [1e400]}' },
              { key: "a", value: '{"id":12345678901234567890,"a":[1.0]}', headers },
              { key: "", value: "" },
              { key: Uint8Array.of(0xff, 0x0a), value: Uint8Array.of(0, 0x0a, 0xff) }
            ]
          })
          const files = yield* folder
          const [first, second] = [path.join(files, "a.ndjson"), path.join(files, "b.ndjson.gz")]
          const out = yield* on(["export", from, first])
          assert.deepStrictEqual([out.code, out.stdout], [0, ""], out.stderr)
          assert.include(out.stderr, `4 entries of ${from} in ${first}`)
          assert.deepStrictEqual(
            parsed(readFileSync(first, "utf8")).map(({ key, keyHex }) => key ?? keyHex),
            ["", "a", "ö", "ff0a"]
          )
          const imported = yield* on(["import", to, first, "--yes"])
          assert.strictEqual(imported.code, 0, imported.stderr)
          assert.deepStrictEqual(parsed(imported.stdout), [{ topic: to, ...none, added: 4 }])
          assert.include(imported.stderr, "add 4: , a, ö, ff0a")
          const [before, after] = [yield* java.readCommitted(from), yield* java.readCommitted(to)]
          assert.deepStrictEqual(new Map([...after.table].sort()), new Map([...before.table].sort()))
          yield* on(["export", to, second])
          assert.isTrue(gunzipSync(readFileSync(second)).equals(readFileSync(first)))
          const again = yield* on(["import", from, second])
          assert.deepStrictEqual([again.code, parsed(again.stdout)], [0, [{ topic: from, ...none, unchanged: 4 }]])
          for (const format of ["string", "bytes", "hex"]) {
            const formats = ["--key", format, "--value", format]
            const piped = yield* on(["export", from, ...formats])
            const elsewhere = yield* made()
            yield* on(["import", elsewhere, "-", "--yes", ...formats], { input: piped.stdout })
            assert.strictEqual((yield* on(["export", elsewhere, ...formats])).stdout, piped.stdout)
          }
          assert.deepStrictEqual(readdirSync(files).sort(), ["a.ndjson", "b.ndjson.gz"])
        })
      )

      it.effect("import shows the difference and asks; --replace deletes what is not in the file", () =>
        Effect.gen(function* () {
          const java = yield* JavaPeer.JavaPeer
          const topic = yield* made()
          const values = ["same", "old", "x1", "x2"].map((key) => ({ key, value: "1" }))
          yield* java.produce({ topic, records: values })
          const file = path.join(yield* folder, "wanted.ndjson")
          writeFileSync(file, '{"key":"same","value":1}\n\n{"key":"old","value":2}\r\n{"key":"new","value":3}')
          const table = Effect.map(on(["ls", topic]), ({ stdout }) =>
            parsed(stdout)
              .map(({ key, value }) => `${key}=${value}`)
              .join(" ")
          )
          const refused = yield* on(["import", topic, file, "--replace"])
          assert.deepStrictEqual([refused.code, refused.stdout], [5, ""])
          for (const said of ["add 1: new\n", "change 1: old\n", "delete 2: x1, x2\n", "leave 1,", "--yes"]) {
            assert.include(refused.stderr, said)
          }
          assert.strictEqual(yield* table, "old=1 same=1 x1=1 x2=1")
          const without = yield* on(["import", topic, file, "--yes"])
          assert.deepStrictEqual(parsed(without.stdout), [{ topic, ...none, added: 1, changed: 1, unchanged: 1 }])
          assert.include(without.stderr, "leave 2, which the file has not: x1, x2")
          assert.strictEqual(yield* table, "new=3 old=2 same=1 x1=1 x2=1")
          for (const [answer, code, left] of [
            ["n", 5, "new=3 old=2 same=1 x1=1 x2=1"],
            ["\u0003", 130, "new=3 old=2 same=1 x1=1 x2=1"],
            ["y", 0, "new=3 old=2 same=1"]
          ] as const) {
            const asked = yield* running(["import", topic, file, "--replace"], { terminal: true })
            yield* asked.until((stdout) => bare(stdout).includes("Write 2 records?"))
            assert.include(asked.stdout(), "delete 2: x1, x2")
            asked.type(answer)
            const ended = yield* asked.ended
            assert.strictEqual(ended.code, code, ended.stdout)
            if (code === 0) assert.include(bare(ended.stdout), "added 0, changed 0, deleted 2, left 3 as they were")
            assert.strictEqual(yield* table, left)
          }
        })
      )

      it.effect("import reads the whole file before it writes, and names lines that are wrong", () =>
        Effect.gen(function* () {
          const topic = yield* made()
          const lines = ['{"key":"a","value":1}', "{", '{"key":"a","value":2}', '{"key":"b"}', '{"key":"c","value":3}']
          const { code, stderr, stdout } = yield* on(["import", topic, "-", "--yes"], { input: lines.join("\n") })
          assert.deepStrictEqual([code, stdout], [2, ""])
          assert.include(stderr, "nothing was written, since in - 3 lines are wrong:")
          for (const said of [
            "line 2: it is not JSON",
            "line 3: it has the key of line 1",
            "line 4: it has no value"
          ]) {
            assert.include(stderr, said)
          }
          assert.strictEqual((yield* on(["ls", topic])).stdout, "")
          const nowhere = yield* on(["import", topic, "/no/such/file", "--yes"])
          assert.deepStrictEqual([nowhere.code, nowhere.stdout], [2, ""])
          assert.include(nowhere.stderr, "/no/such/file cannot be read: ENOENT")
          const spoilt = path.join(yield* folder, "spoilt.gz")
          writeFileSync(spoilt, "no gzip")
          const unread = yield* on(["import", topic, spoilt, "--yes"])
          assert.strictEqual(unread.code, 2)
          assert.include(unread.stderr, `${spoilt} cannot be read: incorrect header check`)
        })
      )

      it.effect("a write that is refused ends an import, which says what was written, and the next run goes on", () =>
        Effect.gen(function* () {
          const topic = yield* made({ config: { "max.message.bytes": "5000" } })
          const line = (i: number, value: string) => `{"key":"k${i}","value":"${value}"}\n`
          const lines = Array.from({ length: 1500 }, (_, i) => line(i, i === 700 ? "x".repeat(6000) : "small"))
          const failed = yield* on(["import", topic, "-", "--yes"], { input: lines.join("") })
          assert.strictEqual(failed.code, 1, failed.stderr)
          const [{ added, unwritten, ...rest }] = parsed(failed.stdout)
          assert.deepStrictEqual(rest, { topic, changed: 0, deleted: 0, unchanged: 0, unknown: 0 })
          assert.strictEqual(added + unwritten, 1500)
          assert.match(
            failed.stderr,
            /\d+ of 1500 changes acknowledged; these failed[^]*\n {2}k700: .*MESSAGE_TOO_LARGE[^]*run the same again/
          )
          assert.strictEqual(parsed((yield* on(["ls", topic])).stdout).length, added)
          lines[700] = line(700, "smaller")
          const next = yield* on(["import", topic, "-", "--yes"], { input: lines.join("") })
          assert.deepStrictEqual(
            [next.code, parsed(next.stdout)],
            [0, [{ topic, ...none, added: unwritten, unchanged: added }]]
          )
        })
      )

      it.effect("Ctrl-C leaves a whole file or none, whole lines, and what an import has written", () =>
        Effect.gen(function* () {
          const java = yield* JavaPeer.JavaPeer
          const [topic, other] = [yield* made(), yield* made()]
          const value = JSON.stringify("x".repeat(500))
          yield* java.produce({ topic, records: Array.from({ length: 20_000 }, (_, i) => ({ key: `k${i}`, value })) })
          const files = yield* folder
          const exporting = yield* running(["export", topic, "-"])
          yield* exporting.until((stdout) => stdout !== "")
          exporting.signal("SIGINT")
          const exported = yield* exporting.ended
          assert.isTrue(isWhole(exported.stdout))
          const file = path.join(files, "all.ndjson.gz")
          const early = yield* running(["export", topic, file])
          yield* Effect.yieldNow.pipe(Effect.repeat({ until: () => readdirSync(files).length > 0 }))
          early.signal("SIGINT")
          assert.strictEqual((yield* early.ended).code, 130)
          assert.deepStrictEqual(readdirSync(files), [])
          assert.strictEqual((yield* on(["export", topic, file])).code, 0)
          const importing = yield* running(["import", other, file, "--yes"])
          yield* importing.until(() => importing.stderr().includes("add 20000"))
          importing.signal("SIGINT")
          const { code, stderr, stdout } = yield* importing.ended
          assert.include([0, 130], code)
          assert.isTrue(isWhole(stdout))
          if (stdout !== "") {
            const [{ added, unknown }] = parsed(stdout)
            const there = parsed((yield* on(["ls", other])).stdout).length
            assert.isAtLeast(there, added)
            assert.isAtMost(there, added + unknown)
            if (code === 130) assert.include(stderr, "interrupted")
          }
          const rest = yield* on(["import", other, file, "--yes"])
          assert.strictEqual(rest.code, 0)
          const copy = path.join(files, "copy.ndjson.gz")
          yield* on(["export", other, copy])
          assert.isTrue(readFileSync(copy).equals(readFileSync(file)))
        })
      )

      it.effect(
        "files that cannot be made, topics that are not there and brokers that are away have their exit codes",
        () =>
          Effect.gen(function* () {
            const topic = yield* made()
            const unmade = yield* on(["export", topic, "/no/such/folder/file"])
            assert.strictEqual(unmade.code, 1)
            assert.match(unmade.stderr, /\/no\/such\/folder\/file cannot be written: ENOENT/)
            const file = path.join(yield* folder, "file")
            assert.strictEqual((yield* on(["export", `${topic}-not`, file])).code, 4)
            assert.isFalse(existsSync(file))
            const brokers = ["--brokers", `127.0.0.1:${yield* refusingPort}`, "--timeout", "1"]
            const away = yield* run(["export", topic, file, ...brokers])
            assert.deepStrictEqual([away.code, away.stdout, existsSync(file)], [3, "", false])
            const input = '{"key":"a","value":1}\n'
            const unread = yield* run(["import", topic, "-", "--yes", ...brokers], { input })
            assert.deepStrictEqual([unread.code, unread.stdout], [3, ""])
            assert.include(unread.stderr, "ECONNREFUSED")
          })
      )
    }
  )
})
