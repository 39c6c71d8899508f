/**
 * A table that is served over HTTP: how late changes are with many streams, what a stream costs in memory, one that does not
 * read, too, and a value by its key beside a bare route that reads a map. The clients are a process of their own.
 */
import * as TableHttp from "@effect-ktables/http/TableHttp"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Context, Effect, Layer, Schema } from "effect"
import { HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import * as TableReplication from "effect-ktables/TableReplication"
import * as TableTopic from "effect-ktables/TableTopic"
import { fork } from "node:child_process"
import { createServer } from "node:http"
import type { Cell } from "../harness/cells.ts"
import type { Measurement } from "../harness/Measurement.ts"
import { memoryUse } from "../harness/memory.ts"
import { keyOf, serviceOf } from "../topics/values.ts"
import { now, type Order, type Report } from "../wire/httpClients.ts"

export interface Input {
  /** Streams of changes. */
  readonly clients: number
  /** Streams that nobody reads, added after those. */
  readonly stuck: number
  readonly changesPerSecond: number
  readonly seconds: number
  readonly keys: number
  /** Of each route. */
  readonly requests: number
}

/** Milliseconds between two commits. */
const PACE = 10
/** Connections that ask at a time. */
const ASKING = 16
/** Times that both routes are asked, in turn, of which the first is a warm-up. */
const ROUNDS = 6

const client = "effect-ktables"

/** As the services of the other benchmarks, with the time at which it was written. */
const Service = Schema.Struct({
  name: Schema.String,
  host: Schema.String,
  port: Schema.Int,
  version: Schema.Int,
  t: Schema.Finite
})
type Service = typeof Service.Type

const written = (id: number, version: number): Service => {
  const { host, name, port } = serviceOf(id, version)
  return { name, host, port, version, t: now() }
}

export const cell: Cell<Input> = Effect.fnUntraced(function* (input) {
  const { changesPerSecond, clients, keys, requests, seconds, stuck } = input
  const topic = TableTopic.make({ name: "services", key: Schema.String, value: Service })
  const services = TableReplication.makeReplica<string, Service>("services")
  services.commit(
    Array.from({ length: keys }, (_, id) => [keyOf(id), written(id, 0)] as const),
    []
  )
  services.setStatus({ _tag: "CaughtUp" })
  const map = new Map(services.table.view)
  const bare = HttpRouter.add(
    "GET",
    "/bare/:key",
    Effect.gen(function* () {
      const { key } = yield* HttpRouter.params
      const value = map.get(key!)
      return value === undefined ? HttpServerResponse.empty({ status: 404 }) : HttpServerResponse.jsonUnsafe(value)
    })
  )
  const routes = Layer.mergeAll(TableHttp.layer({ tables: [TableHttp.served(topic, services.table)] }), bare)
  const context = yield* Layer.build(
    HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provideMerge(
        NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1", gracefulShutdownTimeout: 100 })
      )
    )
  )
  const { address } = Context.get(context, HttpServer.HttpServer)
  const port = "port" in address ? address.port : 0
  const others = yield* startClients

  const measured: Array<Measurement> = []

  // Values by key.
  const [table, plain] = [`/tables/services/entries/${keyOf(1)}`, `/bare/${keyOf(1)}`]
  const times = { [table]: [] as Array<Asked>, [plain]: [] as Array<Asked> }
  for (let round = 0; round < ROUNDS; round++) {
    for (const path of [table, plain]) {
      const before = process.cpuUsage()
      const { events, ms } = yield* others({ _tag: "Ask", port, path, connections: ASKING, requests })
      const { system, user } = process.cpuUsage(before)
      if (round > 0) times[path]!.push({ ns: ((user + system) * 1000) / events, perSecond: (events * 1000) / ms })
    }
  }
  const best = (path: string) => times[path]!.reduce((a, b) => (b.ns < a.ns ? b : a))
  const [own, other] = [best(table), best(plain)]
  measured.push(
    {
      metric: "http reads",
      client,
      detail: "a bare route that reads a map",
      nsPerOp: other.ns,
      requestsPerSecond: other.perSecond
    },
    {
      metric: "http reads",
      client,
      detail: "a value by its key",
      nsPerOp: own.ns,
      requestsPerSecond: own.perSecond,
      ratio: own.ns / other.ns
    }
  )

  // Changes.
  const write = Effect.gen(function* () {
    const count = Math.max(1, Math.round((changesPerSecond * PACE) / 1000))
    let version = 0
    const start = performance.now()
    const end = start + seconds * 1000
    let at = start
    while (at < end) {
      version++
      const changes = Array.from({ length: count }, (_, i) => {
        const id = ((version * count + i) * 7919) % keys
        return [keyOf(id), written(id, version)] as const
      })
      services.commit(changes, [])
      at += PACE
      yield* Effect.sleep(Math.max(0, at - performance.now()))
    }
  })
  const load = Effect.gen(function* () {
    yield* others({ _tag: "Count" })
    const before = process.cpuUsage()
    const started = performance.now()
    yield* write
    const { system, user } = process.cpuUsage(before)
    const cpuPercent = (user + system) / 10 / (performance.now() - started)
    const { events, max, p50, p99 } = yield* others({ _tag: "Report" })
    return { cpuPercent, events, max, p50, p99 }
  })
  const empty = memoryUse()
  yield* others({ _tag: "Follow", port, path: "/tables/services/changes", clients, stuck: 0 })
  yield* load
  const full = memoryUse()
  const { cpuPercent, events, max, p50, p99 } = yield* load
  const detail = `${clients} streams, ${changesPerSecond} changes/s`
  measured.push({
    metric: "http changes",
    client,
    detail,
    p50,
    p99,
    max,
    cpuPercent,
    records: events,
    connections: clients,
    bytesPerClient: (full.heap - empty.heap) / clients
  })
  if (stuck > 0) {
    const before = memoryUse()
    yield* others({ _tag: "Follow", port, path: "/tables/services/changes", clients: 0, stuck })
    yield* load
    const half = memoryUse()
    const late = yield* load
    const after = memoryUse()
    measured.push({
      metric: "http changes",
      client,
      detail: `${detail}, and ${stuck} that do not read`,
      p50: late.p50,
      p99: late.p99,
      max: late.max,
      cpuPercent: late.cpuPercent,
      records: late.events,
      connections: clients + stuck,
      bytesPerClient: (half.heap - before.heap) / stuck,
      // What they cost more after twice the time.
      heapMiB: (after.heap - half.heap) / 2 ** 20
    })
  }
  return measured
})

interface Asked {
  readonly ns: number
  readonly perSecond: number
}

/** The process of clients: what it is told to do, and what it answers. */
const startClients = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() =>
      fork(new URL("../wire/httpClients.ts", import.meta.url), {
        execArgv: ["--conditions=source"],
        stdio: ["ignore", 2, "inherit", "ipc"]
      })
    ),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  ),
  (child) =>
    (order: Order): Effect.Effect<Report> =>
      Effect.callback<Report>((resume) => {
        child.once("message", (report) => resume(Effect.succeed((report ?? {}) as Report)))
        child.send(order)
      })
)
