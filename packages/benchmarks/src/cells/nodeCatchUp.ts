/** Node's clients fill a Map with an existing topic. */
import { Effect } from "effect"
import type { Cell } from "../harness/cells.ts"
import { rssMiB } from "../harness/memory.ts"
import { stopwatch } from "../harness/stopwatch.ts"
import { TopicConnections } from "../topics/provision.ts"
import { consume, type NodeClient } from "./nodeClients.ts"

export interface Input {
  readonly client: NodeClient
  readonly brokers: ReadonlyArray<string>
  readonly topic: string
  readonly decode: "raw" | "json"
}

export const cell: Cell<Input> = ({ client, brokers, topic, decode }) =>
  Effect.promise(async () => {
    const elapsed = stopwatch()
    let sinceFirst: ReturnType<typeof stopwatch> | undefined
    const connections = await TopicConnections.open(brokers, topic)
    const end = new Map(await connections.offsets("latest"))
    connections.close()
    for (const [partition, offset] of end) if (offset === 0) end.delete(partition)
    const table = new Map<string, unknown>()
    let records = 0
    let caughtUp: () => void
    const done = new Promise<void>((resolve) => {
      caughtUp = resolve
    })
    const consumer = await consume(client, brokers, topic, (key, value, partition, offset) => {
      sinceFirst ??= stopwatch()
      records++
      const name = key === null ? "" : key.toString("utf8")
      if (value === null) table.delete(name)
      else table.set(name, decode === "json" ? JSON.parse(value.toString("utf8")) : value)
      if (end.has(partition) && offset + 1 >= end.get(partition)!) {
        end.delete(partition)
        if (end.size === 0) caughtUp()
      }
    })
    await done
    const included = elapsed()
    const alone = sinceFirst?.() ?? included
    const memory = rssMiB()
    await consumer.close()
    const row = (detail: string, { cpuMs, ms }: typeof included) => ({
      metric: "catchup",
      client: `${client} consumer`,
      topic,
      decode,
      detail,
      ms,
      cpuMs,
      records,
      rps: (records / ms) * 1000,
      keys: table.size,
      rssMiB: memory
    })
    return [row("joining the group included", included), row("from the first record on", alone)]
  })
