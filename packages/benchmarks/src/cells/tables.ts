/** What many tables of one client cost, each of a topic of its own: connections, requests, memory, and how late they are. */
import * as KafkaClient from "effect-ktables/KafkaClient"
import * as KafkaProtocol from "effect-ktables/KafkaProtocol"
import * as KafkaTable from "effect-ktables/KafkaTable"
import * as KafkaTableWriter from "effect-ktables/KafkaTableWriter"
import { type KafkaConnection, KafkaTransport } from "effect-ktables/KafkaTransport"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { Context, Effect, Layer } from "effect"
import type { Histogram } from "hdr-histogram-js"
import type { Cell } from "../harness/cells.ts"
import { histogram, percentiles, record } from "../harness/latency.ts"
import { mebibytes, memoryUse } from "../harness/memory.ts"
import { schemaTopic } from "../topics/decoding.ts"
import type { ClusterClient } from "../topics/source.ts"
import { serviceOf } from "../topics/values.ts"

export interface Input {
  readonly source:
    | { readonly client: ClusterClient; readonly brokers: ReadonlyArray<string> }
    | { readonly client: "memory" }
  readonly topics: ReadonlyArray<string>
  readonly partitions: number
  /** Seconds of idling that are measured. */
  readonly seconds: number
  /** Writes that are timed until they are visible, each to one table of all. */
  readonly count: number
}

/** Tables that are opened at the same time. */
const OPENING = 32
/** Topics that writers are opened for. */
const WRITTEN = 16
/** Longer than a long poll: by then every table has settled. */
const SETTLED = "7 seconds"

/** What has been sent, by request, and the connections that are open. */
class Traffic {
  readonly sent = new Map<string, number>()
  connections = 0

  count(api: string): number {
    return this.sent.get(api) ?? 0
  }
  get total(): number {
    return [...this.sent.values()].reduce((sum, each) => sum + each, 0)
  }
}

const transportOf = async (client: ClusterClient, brokers: ReadonlyArray<string>) => {
  switch (client) {
    case "kafkajs":
      return (await import("@effect-ktables/kafkajs")).KafkaJsTransport.make({ brokers })
    case "platformatic":
      return (await import("@effect-ktables/platformatic")).PlatformaticTransport.make({ brokers })
  }
}

const counting = (transport: KafkaTransport["Service"], traffic: Traffic): KafkaTransport["Service"] => ({
  ...transport,
  open: Effect.fnUntraced(function* (address) {
    const connection = yield* transport.open(address)
    yield* Effect.acquireRelease(
      Effect.sync(() => traffic.connections++),
      () => Effect.sync(() => traffic.connections--)
    )
    const send: KafkaConnection["send"] = (request) => {
      traffic.sent.set(request.apiName, traffic.count(request.apiName) + 1)
      return connection.send(request)
    }
    return { address, send, isOpen: connection.isOpen, holdTimeouts: connection.holdTimeouts }
  })
})

const openClient = Effect.fnUntraced(function* ({ partitions, source, topics }: Input, traffic: Traffic) {
  if (source.client === "memory") {
    const services = yield* Layer.build(MemoryKafka.layerWith({ brokers: 3 }))
    const kafka = Context.get(services, MemoryKafka.MemoryKafka)
    yield* Effect.forEach(topics, (topic) => kafka.createTopic(topic, { partitions }), { discard: true })
    return Context.get(services, KafkaClient.KafkaClient)
  }
  const { brokers, client } = source
  const transport = yield* Effect.promise(() => transportOf(client, brokers))
  return yield* Effect.provideService(KafkaProtocol.make(), KafkaTransport, counting(transport, traffic))
})

export const cell: Cell<Input> = Effect.fnUntraced(function* (input) {
  const { count, partitions, seconds, source, topics } = input
  const traffic = new Traffic()
  const client = yield* openClient(input, traffic)
  const provided = Effect.provideService(KafkaClient.KafkaClient, client)
  const bare = memoryUse()
  const began = performance.now()
  const tables = yield* Effect.forEach(
    topics,
    (topic) => provided(KafkaTable.make(schemaTopic(topic), { ensureTopic: false })),
    { concurrency: OPENING }
  )
  const ms = performance.now() - began
  yield* Effect.sleep(SETTLED)
  const { heap, rss } = memoryUse()

  const cpu = process.cpuUsage()
  const idling = performance.now()
  const sent = { fetches: traffic.count("Fetch"), requests: traffic.total }
  yield* Effect.sleep(seconds * 1000)
  const idled = performance.now() - idling
  const perSecond = {
    requestsPerSecond: ((traffic.total - sent.requests) / idled) * 1000,
    fetchesPerSecond: ((traffic.count("Fetch") - sent.fetches) / idled) * 1000
  }
  const { system, user } = process.cpuUsage(cpu)
  const { connections } = traffic

  const written = yield* Effect.forEach(tables.slice(0, WRITTEN), (table) =>
    Effect.map(provided(KafkaTableWriter.make(schemaTopic(table.topic), { ensureTopic: false })), (writer) => ({
      table,
      writer
    }))
  )
  let version = 0
  const write = (at: number) =>
    Effect.flatMap(written[at]!.writer.set("key", serviceOf(at, version++)), written[at]!.table.awaitOffset)
  const timed = Effect.fnUntraced(function* (at: number, measured: Histogram) {
    const started = performance.now()
    yield* write(at)
    record(measured, performance.now() - started)
  })
  /** Each in turn but the last one, the first round unmeasured. */
  const measure = Effect.fnUntraced(function* (measured: Histogram) {
    const turns = Math.max(1, written.length - 1)
    yield* Effect.forEach(
      Array.from({ length: turns }, (_, i) => i),
      write,
      { discard: true }
    )
    for (let i = 0; i < count; i++) yield* timed(i % turns, measured)
  })
  const quiet = histogram()
  yield* measure(quiet)
  const busy = histogram()
  yield* Effect.forkScoped(Effect.forever(write(written.length - 1)))
  yield* measure(busy)

  const common = {
    client: `effect-ktables ${source.client}`,
    detail: `${topics.length} tables of ${partitions} ${partitions === 1 ? "partition" : "partitions"}`
  }
  return [
    {
      ...common,
      metric: "tables",
      ms,
      connections,
      ...perSecond,
      cpuPercent: (user + system) / idled / 10,
      rssMiB: mebibytes(rss - bare.rss),
      heapMiB: mebibytes(heap - bare.heap)
    },
    { ...common, metric: "tables: own write", ...percentiles(quiet) },
    { ...common, metric: "tables: own write beside a busy table", ...percentiles(busy) }
  ]
})
