/** The routes of tables, over real sockets, on the embedded Kafka. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Equal, Exit, Fiber, Layer, Option, Schedule, Schema, Scope } from "effect"
import { Codec, KafkaTable, KafkaTableWriter, Table, TableTopic } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import * as NetAddress from "effect/net/NetAddress"
import { NodeHttpServer } from "@effect/platform-node"
import { createServer, request } from "node:http"
import { connect, type Socket } from "node:net"
import { parseToken } from "../src/internal/wire.ts"
import * as RemoteTable from "../src/RemoteTable.ts"
import * as TableHttp from "../src/TableHttp.ts"
import { last, open } from "./support/sse.ts"
import { ask, prices, serve, tableAndWriter } from "./support/server.ts"

const withKafka = <A, E>(effect: Effect.Effect<A, E, Layer.Success<typeof MemoryKafka.layer> | Scope.Scope>) =>
  effect.pipe(Effect.scoped, Effect.provide(MemoryKafka.layer))

const put = (url: string, body: string) => ask(url, { method: "PUT", body })

/** A request with headers that fetch does not let pass. */
const raw = (url: string, options: { readonly host?: string; readonly method?: string }) =>
  Effect.callback<number>((resume) => {
    const { hostname, pathname, port, search } = new URL(url)
    const sent = request(
      {
        hostname,
        port,
        path: pathname + search,
        method: options.method ?? "GET",
        headers: { host: options.host ?? "localhost" }
      },
      (answer) => {
        answer.resume()
        resume(Effect.succeed(answer.statusCode!))
      }
    )
    sent.end()
    return Effect.sync(() => sent.destroy())
  })

describe("a table that is served", () => {
  it.live("is listed, with its status, and read by key and by page", () =>
    withKafka(
      Effect.gen(function* () {
        const { table, writer } = yield* tableAndWriter
        const entries = ["a/b?c", "apple", "apricot", "banana", "ü 😀", "x".repeat(500)]
        const acks = yield* writer.setAll(entries.map((key, amount) => [key, { amount }] as const))
        yield* table.awaitOffset(acks.at(-1)!)
        const url = yield* serve({ tables: [TableHttp.served(prices, table)] })

        const { json: list } = yield* ask(`${url}/tables`)
        assert.deepInclude(list.tables[0], { name: "prices", size: 6, writable: false, status: { _tag: "CaughtUp" } })
        for (const [amount, key] of entries.entries()) {
          const { json, status } = yield* ask(`${url}/tables/prices/entries/${encodeURIComponent(key)}`)
          assert.deepStrictEqual([status, json], [200, { amount }])
        }
        const absent = yield* ask(`${url}/tables/prices/entries/cherry`)
        assert.deepStrictEqual([absent.status, absent.json.error], [404, "NotFound"])
        assert.strictEqual((yield* ask(`${url}/tables/pears/entries`)).status, 404)

        const all: Array<string> = []
        for (let after = ""; ;) {
          const { json } = yield* ask(`${url}/tables/prices/entries?limit=2${after}`)
          assert.strictEqual(json.size, 6)
          all.push(...json.entries.map(([key]: [string]) => key))
          if (json.next === null) break
          after = `&after=${encodeURIComponent(json.next)}`
        }
        assert.deepStrictEqual(all, entries.toSorted())
        const { json: ap } = yield* ask(`${url}/tables/prices/entries?prefix=ap&from=apr`)
        assert.deepStrictEqual(ap.entries, [["apricot", { amount: 2 }]])
        assert.strictEqual((yield* ask(`${url}/tables/prices/entries?limit=0`)).status, 400)
      })
    )
  )

  it.live("has any text as a key, also those that no path can name, and takes no path for another key", () =>
    withKafka(
      Effect.gen(function* () {
        const { table, writer } = yield* tableAndWriter
        const url = yield* serve({ tables: [TableHttp.served(prices, table, { writer })], flushEvery: 1 })
        const copy = yield* RemoteTable.make(url, prices)
        const entries = `${url}/tables/prices/entries`
        const keys = [
          ".",
          "..",
          "",
          "a/b",
          "100%",
          "%2F",
          "a+b&key=c",
          "?#",
          "__proto__",
          "\u0000\r\n",
          "\u2028",
          "ключ 😀"
        ]
        for (const [amount, key] of keys.entries()) {
          yield* copy.awaitAck(yield* copy.set(key, { amount }))
          assert.deepStrictEqual(yield* table.get(key), Option.some({ amount }), JSON.stringify(key))
          const { json, status } = yield* ask(`${entries}?key=${encodeURIComponent(key)}`)
          assert.deepStrictEqual([status, json], [200, { amount }])
        }
        assert.strictEqual(yield* copy.size, keys.length)
        assert.isTrue(Equal.equals(yield* copy.snapshot, yield* table.snapshot))

        // Clients make `entries/` of this, and another path of `..`.
        for (const segment of [".", ".."]) {
          const { status } = yield* put(`${entries}/${segment}`, '{"amount":-1}')
          assert.include([400, 404], status)
        }
        assert.strictEqual((yield* put(`${entries}?key=%ff`, '{"amount":-1}')).status, 400)
        assert.strictEqual((yield* put(entries, '{"amount":-1}')).status, 405)
        for (const key of keys) yield* copy.awaitAck(yield* copy.delete(key))
        assert.strictEqual(yield* table.size, 0)
      })
    )
  )

  it.live("whose keys are no texts is read by their texts", () =>
    withKafka(
      Effect.gen(function* () {
        const topic = TableTopic.make({ name: "numbers", key: Schema.FiniteFromString, value: Codec.string })
        const table = yield* KafkaTable.make(topic, { ensureTopic: { create: true } })
        const writer = yield* KafkaTableWriter.make(topic)
        const acks = yield* writer.setAll([[10, "ten"], [9, "1.0"], [100, '{"a": 1}']]) // prettier-ignore
        yield* table.awaitOffset(acks.at(-1)!)
        const url = yield* serve({ tables: [TableHttp.served(topic, table)] })
        const { json } = yield* ask(`${url}/tables/numbers/entries?limit=2`)
        assert.deepStrictEqual(json.entries, [["10", "ten", "text"], ["100", '{"a": 1}', "text"]]) // prettier-ignore
        assert.strictEqual(json.next, "100")
        const rest = yield* ask(`${url}/tables/numbers/entries?after=100`)
        assert.deepStrictEqual(rest.json.entries, [["9", "1.0", "text"]])
        assert.strictEqual((yield* ask(`${url}/tables/numbers/entries/9`)).text, "1.0")
        assert.strictEqual((yield* ask(`${url}/tables/numbers/entries/nine`)).status, 400)
      })
    )
  )

  it.live("answers 304 where the value is known, and another ETag after a change", () =>
    withKafka(
      Effect.gen(function* () {
        const { table, writer } = yield* tableAndWriter
        yield* table.awaitOffset(yield* writer.set("a", { amount: 1 }))
        const url = yield* serve({ tables: [TableHttp.served(prices, table)] })
        const first = yield* ask(`${url}/tables/prices/entries/a`)
        const etag = first.headers.get("etag")!
        const again = yield* ask(`${url}/tables/prices/entries/a`, { headers: { "if-none-match": `"b", W/${etag}` } })
        assert.deepStrictEqual([again.status, again.text, again.headers.get("etag")], [304, "", etag])
        yield* table.awaitOffset(yield* writer.set("a", { amount: 2 }))
        const changed = yield* ask(`${url}/tables/prices/entries/a`, { headers: { "if-none-match": etag } })
        assert.deepStrictEqual([changed.status, changed.json], [200, { amount: 2 }])
        assert.notStrictEqual(changed.headers.get("etag"), etag)
      })
    )
  )

  it.live("without a writer is read-only, and with one takes values that its codec takes", () =>
    withKafka(
      Effect.gen(function* () {
        const { table, writer } = yield* tableAndWriter
        const url = yield* serve({
          tables: [TableHttp.served(prices, table), TableHttp.served(prices, table, { name: "rw", writer })],
          maxBodyBytes: 100
        })
        assert.strictEqual((yield* put(`${url}/tables/prices/entries/a`, '{"amount":1}')).status, 405)
        assert.strictEqual((yield* put(`${url}/tables/rw/entries/a`, '{"amount":"x"}')).status, 400)
        assert.strictEqual(
          (yield* put(`${url}/tables/rw/entries/a`, `{"amount":1,"note":"${"x".repeat(100)}"}`)).status,
          413
        )
        const written = yield* put(`${url}/tables/rw/entries/a`, '{"amount":1}')
        assert.deepInclude(written.json.ack, { topic: "prices", partition: 0, offset: 0 })
        const read = yield* ask(`${url}/tables/prices/entries/a?at=${written.json.at}`)
        assert.deepStrictEqual([read.status, read.json], [200, { amount: 1 }])
        const deleted = yield* ask(`${url}/tables/rw/entries/a`, { method: "DELETE" })
        const gone = yield* ask(`${url}/tables/prices/entries/a?at=${deleted.json.at}`)
        assert.strictEqual(gone.status, 404)
        assert.strictEqual((yield* ask(`${url}/tables/rw/entries/a`, { method: "POST", body: "1" })).status, 405)
      })
    )
  )

  it.live("never answers with less than a token names: 503 in time, and 409 where the log is another", () =>
    withKafka(
      Effect.gen(function* () {
        const { table, writer } = yield* tableAndWriter
        const ack = yield* writer.set("a", { amount: 1 })
        yield* table.awaitOffset(ack)
        const gross = TableTopic.make({ name: "gross", key: Schema.String, value: Schema.Finite })
        const derived = yield* Table.map(table, ({ amount }) => 2 * amount)
        const url = yield* serve({ tables: [TableHttp.served(prices, table), TableHttp.served(gross, derived)] })
        const token = (yield* ask(`${url}/tables/gross/entries/a`)).headers.get("ktables-at")!
        const named = parseToken(token)
        assert.strictEqual(named?._tag === "Position" ? named.position[0]?.partitions[0]?.offset : undefined, 1)
        for (const [offset, name] of [
          [1, "prices"],
          [2, "gross"]
        ] as const) {
          const entry = `${url}/tables/${name}/entries/a`
          assert.strictEqual((yield* ask(`${entry}?at=${token}&wait=0ms`)).status, 200)
          const later = btoa(JSON.stringify([["prices", ack.topicId, [[0, offset + 1, -1, 0]]]]))
          const late = yield* ask(`${entry}?at=${later}&wait=50ms`)
          assert.deepStrictEqual([late.status, late.headers.get("retry-after"), late.json.error], [503, "1", "NotYet"])
          // What comes while it waits ends the wait.
          const waiting = yield* Effect.forkChild(ask(`${entry}?at=${later}&wait=20s`))
          yield* writer.set("a", { amount: offset })
          const { json, status } = yield* Fiber.join(waiting)
          assert.deepStrictEqual([status, json], [200, name === "prices" ? { amount: 1 } : 4])
        }
        const other = btoa(JSON.stringify([["prices", "0".repeat(32), [[0, 1, 0, 1]]]]))
        assert.strictEqual((yield* ask(`${url}/tables/gross/entries/a?at=${other}`)).status, 409)
        assert.strictEqual((yield* ask(`${url}/tables/gross/entries/a?at=nonsense`)).status, 400)
        assert.strictEqual((yield* ask(`${url}/tables/gross/entries/a?at=${token}&wait=soon`)).status, 400)
      })
    )
  )
})

describe("the changes of a table", () => {
  it.live("are a snapshot, and what came after it, each with positions; a prefix chooses", () =>
    withKafka(
      Effect.gen(function* () {
        const { table, writer } = yield* tableAndWriter
        yield* writer.setAll(
          Array.from({ length: 5000 }, (_, i) => [`k${i}`, { amount: i, note: "x".repeat(40) }] as const)
        )
        yield* table.barrier()
        const url = yield* serve({ tables: [TableHttp.served(prices, table)], flushEvery: 5 })
        const all = yield* open(`${url}/tables/prices/changes`)
        const some = yield* open(`${url}/tables/prices/changes?prefix=k499`)
        assert.strictEqual(all.headers.get("content-type"), "text/event-stream")
        const begun = yield* all.until(last("caughtup"))
        assert.deepStrictEqual(begun.data.at[0].slice(0, 1), ["prices"])
        assert.strictEqual(begun.data.at[0][2][0][1], 5000)
        assert.isAbove(all.events.filter(({ event }) => event === "entries").length, 3)
        yield* some.until(last("caughtup"))
        assert.strictEqual(Object.keys(some.entries()).length, 11)

        yield* writer.set("k4990", { amount: 1 })
        yield* writer.delete("k4991")
        yield* writer.set("other", { amount: 7 })
        const isThere = last("changes", ({ data }) => data.at[0]?.[2][0][1] === 5003)
        yield* all.until(isThere)
        yield* some.until(isThere)
        const expected = Object.fromEntries(yield* table.entries)
        assert.deepStrictEqual(all.entries(), expected)
        const chosen = Object.entries(expected).filter(([key]) => key.startsWith("k499"))
        assert.deepStrictEqual(some.entries(), Object.fromEntries(chosen))
      })
    )
  )

  it.live("go on after an interruption where they ended, as long as that is kept, and else with a snapshot", () =>
    withKafka(
      Effect.gen(function* () {
        const { table, writer } = yield* tableAndWriter
        const url = yield* serve({ tables: [TableHttp.served(prices, table)], flushEvery: 1, retainedBytes: 4000 })
        const changes = `${url}/tables/prices/changes`
        const first = yield* open(changes)
        const { id } = yield* first.until(last("caughtup"))
        first.close()
        yield* table.awaitOffset(yield* writer.set("a", { amount: 1 }))
        const second = yield* open(changes, { "last-event-id": id! })
        yield* second.until(last("changes", ({ data }) => data.changes.length > 0))
        assert.deepStrictEqual(second.events.map(({ event }) => event).slice(0, 2), ["resumed", "changes"])
        second.close()

        const third = yield* open(`${changes}?since=${id}`)
        const writes = Effect.forEach(Array.from({ length: 40 }).keys(), (i) =>
          Effect.andThen(writer.set(`k${i}`, { amount: i, note: "x".repeat(200) }), Effect.sleep(3))
        )
        yield* writes
        yield* third.until((events) =>
          events.find(({ data, event }) => event === "changes" && data.changes[0]?.[0] === "k39")
        )
        const late = yield* open(`${changes}?since=${id}`)
        yield* late.until(last("caughtup"))
        assert.strictEqual(late.events[0]!.event, "snapshot")
        assert.isFalse(late.events[0]!.data.reset)
        assert.deepStrictEqual(late.entries(), Object.fromEntries(yield* table.entries))
      })
    )
  )

  it.live("do not take a client back: a server that is behind waits for it, or says when to try again", () =>
    withKafka(
      Effect.gen(function* () {
        const { table, writer } = yield* tableAndWriter
        const url = yield* serve({ tables: [TableHttp.served(prices, table)], flushEvery: 1 })
        const ack = yield* writer.set("a", { amount: 1 })
        yield* table.awaitOffset(ack)
        const ahead = btoa(JSON.stringify([["prices", ack.topicId, [[0, 2, 0, 2]]]]))
        const changes = `${url}/tables/prices/changes?since=abc.1&at=${ahead}`
        const late = yield* ask(`${changes}&wait=30ms`)
        assert.deepStrictEqual([late.status, late.headers.get("retry-after")], [503, "1"])
        const opening = yield* Effect.forkChild(open(`${changes}&wait=20s`))
        yield* writer.set("a", { amount: 2 })
        const reader = yield* Fiber.join(opening)
        yield* reader.until(last("caughtup"))
        assert.deepStrictEqual([reader.events[0]!.data.reset, reader.entries()], [false, { a: { amount: 2 } }])
        const other = btoa(JSON.stringify([["prices", "0".repeat(32), [[0, 9, 0, 9]]]]))
        const another = yield* open(`${url}/tables/prices/changes?since=abc.1&at=${other}`)
        yield* another.until(last("caughtup"))
        assert.isTrue(another.events[0]!.data.reset)
      })
    )
  )

  it.live("are never more than is kept for a client that is stuck, which is given a snapshot when it reads again", () =>
    withKafka(
      Effect.gen(function* () {
        const { table, writer } = yield* tableAndWriter
        const url = yield* serve({ tables: [TableHttp.served(prices, table)], flushEvery: 1, retainedBytes: 1_000_000 })
        const { port } = new URL(url)
        const stuck = yield* Effect.acquireRelease(
          Effect.callback<Socket>((resume) => {
            const socket = connect(Number(port), "127.0.0.1", () => {
              socket.write("GET /tables/prices/changes HTTP/1.1\r\nHost: localhost\r\n\r\n")
              socket.once("readable", () => resume(Effect.succeed(socket)))
            })
          }),
          (socket) => Effect.sync(() => socket.destroy())
        )
        const other = yield* open(`${url}/tables/prices/changes`)
        const note = "x".repeat(100_000)
        for (let i = 0; i < 150; i++) yield* writer.set("a", { amount: i, note })
        yield* other.until(last("changes", ({ data }) => data.changes.at(-1)?.[1]?.amount === 149))
        let text = ""
        const fresh = yield* Effect.callback<string>((resume) => {
          stuck.on("data", (bytes: Buffer) => {
            text += bytes.toString("latin1")
            if (text.includes('"amount":149')) resume(Effect.succeed(text))
          })
        })
        assert.isAbove(fresh.split("event: snapshot").length, 2)
        assert.isBelow(fresh.length, 15_000_000)
      })
    )
  )

  it.live("end with the table, and in time when the server is closed", () =>
    withKafka(
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const { table } = yield* Scope.provide(tableAndWriter, scope)
        const serverScope = yield* Scope.make()
        const served = [TableHttp.served(prices, table)]
        const url = yield* serve({ tables: served })
        const other = yield* Scope.provide(serve({ tables: served, closeTimeout: 100 }), serverScope)
        const atFirst = yield* open(`${url}/tables/prices/changes`)
        const atSecond = yield* open(`${other}/tables/prices/changes`)
        yield* atFirst.until(last("caughtup"))
        yield* atSecond.until(last("caughtup"))
        const [took] = yield* Effect.timed(Scope.close(serverScope, Exit.void))
        assert.isBelow(Duration.toMillis(took), 2000)
        yield* atSecond.until(() => (atSecond.isOver() ? true : undefined))
        assert.isFalse(atFirst.isOver())
        yield* Scope.close(scope, Exit.void)
        yield* atFirst.until(() => (atFirst.isOver() ? true : undefined))
      })
    )
  )

  it.live(
    "leave nothing on the server when their clients go, and a client that is stuck does not hold up its end",
    () =>
      withKafka(
        Effect.gen(function* () {
          const { table, writer } = yield* tableAndWriter
          const scope = yield* Scope.make()
          const options = { tables: [TableHttp.served(prices, table)], flushEvery: 1, closeTimeout: 100 }
          const url = yield* Scope.provide(serve(options), scope)
          const streams = Effect.map(ask(`${url}/metrics`), ({ text }) =>
            Number(/^ktables_http_streams\{[^}]*table="prices"[^}]*\} (\d+)$/m.exec(text)?.[1])
          )
          const until = (count: number) =>
            streams.pipe(
              Effect.repeat({ until: (now) => now === count, schedule: Schedule.spaced("20 millis") }),
              Effect.timeout("20 seconds")
            )
          const following = (socket: Socket): void =>
            void socket.write("GET /tables/prices/changes HTTP/1.1\r\nHost: localhost\r\n\r\n")
          const port = Number(new URL(url).port)
          const clients = Array.from({ length: 200 }, () => {
            const socket: Socket = connect(port, "127.0.0.1", () => following(socket))
            socket.resume()
            return socket
          })
          yield* until(200)
          for (const socket of clients) socket.destroy()
          yield* until(0)

          const stuck: Socket = connect(port, "127.0.0.1", () => following(stuck))
          yield* Effect.addFinalizer(() => Effect.sync(() => stuck.destroy()))
          yield* until(1)
          const note = "x".repeat(1_000_000)
          for (let amount = 0; amount < 20; amount++) yield* writer.set("a", { amount, note })
          const [took] = yield* Effect.timed(Scope.close(scope, Exit.void))
          assert.isBelow(Duration.toMillis(took), 5000)
        })
      )
  )

  it.live("say within the time that they promise that nothing has changed", () =>
    withKafka(
      Effect.gen(function* () {
        const { table } = yield* tableAndWriter
        const url = yield* serve({ tables: [TableHttp.served(prices, table)], keepAlive: 50 })
        const reader = yield* open(`${url}/tables/prices/changes`)
        yield* reader.until((events) =>
          events.filter(({ event }) => event === "changes").length > 2 ? true : undefined
        )
        assert.deepStrictEqual(reader.events.at(-1)!.data, { at: [], changes: [] })
      })
    )
  )
})

describe("a server of tables", () => {
  it.live("tells its health, whether it is ready, its metrics, and what it answers", () =>
    withKafka(
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const { table } = yield* Scope.provide(tableAndWriter, scope)
        const url = yield* serve({ tables: [TableHttp.served(prices, table)] })
        assert.deepStrictEqual([(yield* ask(`${url}/health`)).status, (yield* ask(`${url}/ready`)).status], [200, 200])
        assert.include((yield* ask(`${url}/metrics`)).text, "ktables_")
        const { json } = yield* ask(`${url}/openapi.json`)
        assert.strictEqual(json.openapi, "3.1.0")
        for (const [path, methods] of Object.entries<Record<string, { responses: object }>>(json.paths)) {
          assert.deepStrictEqual(Object.keys(methods), ["get"], "read-only")
          const asked = path.replace("{name}", "prices").replace("{key}", "a")
          if (path.endsWith("changes")) continue
          const { status } = yield* ask(url + asked)
          assert.property(methods["get"]!.responses, String(status), path)
        }
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual([(yield* ask(`${url}/health`)).status, (yield* ask(`${url}/ready`)).status], [503, 503])
      })
    )
  )

  it.live("answers to no name that a web page may have made its own, and to no long URL", () =>
    withKafka(
      Effect.gen(function* () {
        const { table } = yield* tableAndWriter
        const url = yield* serve({
          tables: [TableHttp.served(prices, table)],
          hosts: ["Tables.example.org"],
          maxUrlLength: 100
        })
        for (const path of ["/", "/tables", "/tables/prices/changes", "/health", "/metrics", "/openapi.json"]) {
          assert.strictEqual(yield* raw(url + path, { host: "evil.example.org" }), 421, path)
          assert.strictEqual(yield* raw(url + path, { host: "127.0.0.1.evil.example.org:80" }), 421, path)
        }
        for (const host of ["127.0.0.1:80", "localhost", "[::1]:80", "tables.example.org:443"]) {
          assert.strictEqual(yield* raw(`${url}/tables`, { host }), 200, host)
        }
        assert.strictEqual((yield* ask(`${url}/tables/prices/entries/${"x".repeat(100)}`)).status, 414)
        const { headers, status } = yield* ask(`${url}/`)
        assert.deepStrictEqual([status, headers.get("content-type")], [200, "text/html; charset=utf-8"])
        assert.match(headers.get("content-security-policy") ?? "", /^default-src 'none'; script-src 'sha256-[^']+';/)
        assert.isFalse(headers.has("access-control-allow-origin"))
      })
    )
  )

  it.live("lets a middleware decide who may read", () =>
    withKafka(
      Effect.gen(function* () {
        const { table } = yield* tableAndWriter
        const authorized = HttpRouter.middleware(
          (app) =>
            Effect.gen(function* () {
              const { headers } = yield* HttpServerRequest.HttpServerRequest
              return headers["authorization"] === "Bearer secret"
                ? yield* app
                : HttpServerResponse.empty({ status: 401 })
            }),
          { global: true }
        )
        const routes = Layer.mergeAll(TableHttp.layer({ tables: [TableHttp.served(prices, table)] }), authorized)
        const context = yield* Layer.build(
          HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
            Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
          )
        )
        const url = NetAddress.formatUrlUnsafe(Context.get(context, HttpServer.HttpServer).address)
        for (const path of ["/tables", "/tables/prices/entries", "/metrics"]) {
          assert.strictEqual((yield* ask(url + path)).status, 401)
          assert.strictEqual((yield* ask(url + path, { headers: { authorization: "Bearer secret" } })).status, 200)
        }
        const changes = `${url}/tables/prices/changes`
        assert.strictEqual((yield* ask(changes)).status, 401)
        const reader = yield* open(changes, { authorization: "Bearer secret" })
        yield* reader.until(last("caughtup"))
        const refused = yield* Effect.flip(RemoteTable.make(url, prices))
        assert.deepInclude(refused, { _tag: "RemoteRefused", status: 401 })
      })
    )
  )

  it.live("follows as many prefixes as it may, and refuses another", () =>
    withKafka(
      Effect.gen(function* () {
        const { table } = yield* tableAndWriter
        const url = yield* serve({ tables: [TableHttp.served(prices, table)], maxPrefixes: 2 })
        for (const prefix of ["a", "b", "a"]) {
          const reader = yield* open(`${url}/tables/prices/changes?prefix=${prefix}`)
          yield* reader.until(last("caughtup"))
        }
        assert.strictEqual((yield* ask(`${url}/tables/prices/changes?prefix=c`)).json.error, "TooManyPrefixes")
      })
    )
  )
})
