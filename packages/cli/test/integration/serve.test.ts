import { TestKafka } from "@effect-ktables/testing"
import { JavaPeer } from "@effect-ktables/testing/interop"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { on, made, refusingPort, running, isWhole } from "../support/onKafka.ts"
import type { Running } from "../support/ktables.ts"

const missing = JavaPeer.unavailable()
const because = missing === undefined ? "" : ` (skipped: ${missing})`

/** Where it says that it listens. */
const addressOf = (served: Running) =>
  Effect.map(
    served.until((stdout) => stdout.includes("\n")),
    () => /at (http:\S+)\n/.exec(served.stdout())![1]!
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
