/** Node's clients: how long after its sending an acknowledged record has reached the same process's consumer. */
import { Effect } from "effect"
import type { Cell } from "../harness/cells.ts"
import { histogram, percentiles, record } from "../harness/latency.ts"
import { recordsIn } from "../topics/provision.ts"
import { paddedService } from "../topics/values.ts"
import { consume, type NodeClient, openSender } from "./nodeClients.ts"

export interface Input {
  readonly client: NodeClient
  readonly brokers: ReadonlyArray<string>
  /** With one partition, and nobody else writing to it. */
  readonly topic: string
  readonly warmup: number
  readonly count: number
}

export const cell: Cell<Input> = ({ client, brokers, topic, warmup, count }) =>
  Effect.promise(async () => {
    const before = await recordsIn(brokers, topic)
    const table = new Map<string, Buffer | null>()
    let last = -1
    let wake: (() => void) | undefined
    const consumer = await consume(client, brokers, topic, (key, value, _partition, offset) => {
      table.set(key!.toString("utf8"), value)
      last = offset
      wake?.()
    })
    const sender = await openSender(client, brokers, topic)
    const measured = histogram()
    for (let i = 0; i < warmup + count; i++) {
      const value = Buffer.from(JSON.stringify(paddedService(i % 100, i, 1024)))
      const visible = new Promise<void>((resolve) => {
        wake = () => {
          if (last >= before + i) resolve()
        }
      })
      const started = performance.now()
      await sender.send(`key-${i % 100}`, value)
      wake?.()
      await visible
      if (i >= warmup) record(measured, performance.now() - started)
    }
    await sender.close()
    await consumer.close()
    return [
      {
        metric: "propagation",
        client: `${client} consumer`,
        topic,
        detail: "closed loop",
        ...percentiles(measured)
      }
    ]
  })
