/** What tables cost while nothing is written: CPU, and requests to the cluster. */
import { KafkaClient, type Service } from "effect-ktables/KafkaClient"
import * as KafkaTable from "effect-ktables/KafkaTable"
import { Context, Effect } from "effect"
import type { Cell } from "../harness/cells.ts"
import { rssMiB } from "../harness/memory.ts"
import { schemaTopic } from "../topics/decoding.ts"
import { clientName, openSource, type Source } from "../topics/source.ts"

export interface Input {
  readonly source: Source
  readonly tables: number
  readonly seconds: number
}

export const cell: Cell<Input> = Effect.fnUntraced(function* ({ seconds, source, tables }) {
  const { client, topic } = yield* openSource(source)
  let requests = 0
  const counted = Context.make(
    KafkaClient,
    counting(Context.get(client, KafkaClient), () => requests++)
  )
  yield* Effect.forEach(
    Array.from({ length: tables }, (_, i) => i),
    () => KafkaTable.make(schemaTopic(topic), { ensureTopic: false }).pipe(Effect.provideContext(counted))
  )
  yield* Effect.sleep("1 second")
  const before = requests
  const cpu = process.cpuUsage()
  const started = performance.now()
  yield* Effect.sleep(seconds * 1000)
  const ms = performance.now() - started
  const { system, user } = process.cpuUsage(cpu)
  return [
    {
      metric: "idle",
      client: clientName(source),
      detail: `${tables} ${tables === 1 ? "table" : "tables"}`,
      cpuPercent: (user + system) / ms / 10,
      requestsPerSecond: ((requests - before) / ms) * 1000,
      rssMiB: rssMiB()
    }
  ]
})

/** The client, telling of each of its requests. */
const counting = (client: Service, onRequest: () => void): Service => {
  const counted =
    <Args extends ReadonlyArray<unknown>, A, E>(request: (...args: Args) => Effect.Effect<A, E>) =>
    (...args: Args): Effect.Effect<A, E> =>
      Effect.suspend(() => {
        onRequest()
        return request(...args)
      })
  return {
    ...client,
    describeTopic: counted(client.describeTopic),
    listOffsets: counted(client.listOffsets),
    endOffsetForEpoch: counted(client.endOffsetForEpoch),
    openFetcher: (broker) => Effect.map(client.openFetcher(broker), ({ fetch }) => ({ fetch: counted(fetch) })),
    produce: counted(client.produce),
    describeConfig: counted(client.describeConfig)
  }
}
