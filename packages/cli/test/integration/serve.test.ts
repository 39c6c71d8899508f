import { TestKafka } from "@effect-ktables/testing"
import { JavaPeer } from "@effect-ktables/testing/interop"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as http from "node:http"
import { on, made, refusingPort, running, isWhole } from "../support/onKafka.ts"
import type { Running } from "../support/ktables.ts"

const missing = JavaPeer.unavailable()
const because = missing === undefined ? "" : ` (skipped: ${missing})`

/** Where it says that it listens. */
const addressOf = (served: Running) =>
  Effect.map(
    served.until((stdout) => stdout.includes("\n")),
    () => /at (http:\S+)\r?\n/.exec(served.stdout())![1]!
  )

const fetched = (url: string, init?: RequestInit) =>
  Effect.promise(async () => {
    const answer = await fetch(url, init)
    return { status: answer.status, type: answer.headers.get("content-type") ?? "", text: await answer.text() }
  })

/** What a stream of events has said until it says `wanted`. */
const eventsUntil = <E>(url: string, wanted: string, meanwhile: Effect.Effect<unknown, E>) =>
  Effect.gen(function* () {
    const abort = new AbortController()
    const answer = yield* Effect.promise(() => fetch(url, { signal: abort.signal }))
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
    yield* meanwhile
    let text = ""
    while (!text.includes(wanted)) {
      const { done, value } = yield* Effect.promise(() => reader.read())
      if (done) return yield* Effect.die(new Error(`it ended after:\n${text}`))
      text += value
    }
    abort.abort()
    return text
  }).pipe(Effect.timeout("60 seconds"))

describe.skipIf(missing !== undefined)(`ktables serve on Kafka${because}`, () => {
  layer(JavaPeer.layer.pipe(Layer.provideMerge(TestKafka.layer)), { excludeTestServices: true, timeout: 300_000 })(
    "on a broker",
    (it) => {
      it.effect("shows what Java wrote, and every change after it, on the page's server, and takes no writes", () =>
        Effect.gen(function* () {
          const java = yield* JavaPeer.JavaPeer
          const topic = yield* made({ partitions: 3 })
          const other = yield* made()
          yield* java.produce({
            topic,
            records: [
              { key: "a", value: '{"n":1}' },
              { key: "b", value: "no JSON" }
            ]
          })
          const served = yield* running(["serve", topic, other, "--port", "0"])
          const url = yield* addressOf(served)
          assert.include(url, "http://127.0.0.1:")
          const entries = `${url}/tables/${topic}/entries`
          const change = eventsUntil(
            `${url}/tables/${topic}/changes`,
            '"c"',
            java.produce({ topic, records: [{ key: "c", value: "3" }] })
          )
          assert.include(yield* change, '"n":1')
          assert.strictEqual((yield* fetched(`${entries}/a`)).text, '{"n":1}')
          assert.include((yield* fetched(`${entries}/b`)).text, "no JSON")
          assert.strictEqual((yield* fetched(`${entries}/c`)).text, "3")
          assert.include((yield* fetched(`${url}/tables`)).text, other)
          const page = yield* fetched(url)
          assert.include(page.type, "text/html")
          assert.strictEqual((yield* fetched(`${entries}/a`, { method: "PUT", body: "2" })).status, 405)
          assert.strictEqual((yield* fetched(`${entries}/a`)).text, '{"n":1}')
          served.signal("SIGINT")
          const { code, stdout } = yield* served.ended
          assert.strictEqual(code, 130)
          assert.isTrue(isWhole(stdout))
        })
      )

      it.effect("Ctrl-C ends it within seconds, though streams of changes are open, and what it sent is whole", () =>
        Effect.gen(function* () {
          const java = yield* JavaPeer.JavaPeer
          const topic = yield* made()
          yield* java.produce({ topic, records: [{ key: "a", value: "1" }] })
          const served = yield* running(["serve", topic, "--port", "0"], { terminal: true })
          const changes = `${yield* addressOf(served)}/tables/${topic}/changes`
          const streams = yield* Effect.promise(() => Promise.all(Array.from({ length: 5 }, () => fetch(changes))))
          const [silent, ...read] = streams.map(({ body }) => body!.pipeThrough(new TextDecoderStream()).getReader())
          assert.strictEqual((yield* Effect.promise(() => silent!.read())).done, false)
          served.type("\u0003")
          const { code } = yield* Effect.timeout(served.ended, "10 seconds")
          assert.strictEqual(code, 130)
          for (const reader of read) {
            let text = ""
            yield* Effect.promise(async () => {
              for (let next = await reader.read(); !next.done; next = await reader.read()) text += next.value
            }).pipe(Effect.catchDefect(() => Effect.void))
            assert.isTrue(text === "" || text.endsWith("\n\n"), text)
          }
        })
      )

      it.effect("is reached by an address, and by names that it was given, and by no other", () =>
        Effect.gen(function* () {
          const topic = yield* made()
          const served = yield* running([
            "serve",
            topic,
            "--port",
            "0",
            "--host",
            "0.0.0.0",
            "--allow-host",
            "Tables.example"
          ])
          const { port } = new URL(yield* addressOf(served))
          const statusFor = (host: string) =>
            Effect.callback<number | undefined>((resume) => {
              http
                .get({ port, path: "/tables", headers: { host }, host: "127.0.0.1" }, (answer) => {
                  answer.resume()
                  resume(Effect.succeed(answer.statusCode))
                })
                .on("error", (error) => resume(Effect.die(error)))
            })
          for (const [host, status] of [
            [`127.0.0.1:${port}`, 200],
            ["localhost", 200],
            [`tables.example:${port}`, 200],
            ["other.example", 421]
          ] as const) {
            assert.deepStrictEqual([host, yield* statusFor(host)], [host, status])
          }
          const nowhere = yield* on(["serve", topic, "--port", "0", "--host", "192.0.2.1"])
          assert.deepStrictEqual([nowhere.code, nowhere.stdout], [1, ""])
          assert.include(nowhere.stderr, "192.0.2.1 is no address of this machine; --host gives another")
        })
      )

      it.effect("takes writes where it is asked to, which Java reads", () =>
        Effect.gen(function* () {
          const java = yield* JavaPeer.JavaPeer
          const topic = yield* made()
          const served = yield* running(["serve", topic, "--writable", "--port", "0"])
          const entries = `${yield* addressOf(served)}/tables/${topic}/entries`
          assert.strictEqual((yield* fetched(`${entries}/a`, { method: "PUT", body: '"x"' })).status, 200)
          assert.strictEqual((yield* fetched(`${entries}/b`, { method: "PUT", body: "1" })).status, 200)
          assert.strictEqual((yield* fetched(`${entries}/b`, { method: "DELETE" })).status, 200)
          // What became of it is read from the log.
          const past = JSON.parse((yield* fetched(`${entries.replace(/entries$/, "history")}/b`)).text)
          assert.deepStrictEqual(
            past.versions.map(({ value }: { readonly value?: unknown }) => value),
            [[1], undefined]
          )
          const { table } = yield* java.readCommitted(topic)
          const base64 = (text: string): string => Buffer.from(text).toString("base64")
          assert.deepStrictEqual([...table], [[base64("a"), base64('"x"')]])
        })
      )

      it.effect("says what to do where the port is taken, and where there is no such topic", () =>
        Effect.gen(function* () {
          const topic = yield* made()
          const served = yield* running(["serve", topic, "--port", "0"])
          const { port } = new URL(yield* addressOf(served))
          const taken = yield* on(["serve", topic, "--port", port])
          assert.deepStrictEqual([taken.code, taken.stdout], [1, ""])
          assert.include(taken.stderr, "--port gives another")
          const absent = yield* on(["serve", `${topic}-absent`, "--port", "0"])
          assert.strictEqual(absent.code, 4)
          assert.include(absent.stderr, "ktables topics")
        })
      )

      it.effect("ends where no broker answers", () =>
        Effect.gen(function* () {
          const port = yield* refusingPort
          const { code, stderr } = yield* on([
            "serve",
            "flags",
            "--port",
            "0",
            "--brokers",
            `127.0.0.1:${port}`,
            "--timeout",
            "1"
          ])
          assert.strictEqual(code, 3)
          assert.include(stderr, `127.0.0.1:${port}`)
        })
      )
    }
  )
})
