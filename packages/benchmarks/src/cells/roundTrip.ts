/** The round trip below a barrier: a bare client asks for the end offsets of an idle topic. */
import { Effect } from "effect"
import { Kafka, logLevel } from "kafkajs"
import type { Cell } from "../harness/cells.ts"
import { histogram, percentiles, record } from "../harness/latency.ts"
import { TopicConnections } from "../topics/provision.ts"

export interface Input {
  readonly brokers: ReadonlyArray<string>
  readonly topic: string
  readonly warmup: number
  readonly count: number
}

export const cell: Cell<Input> = (input) =>
  Effect.promise(async () => {
    const connections = await TopicConnections.open(input.brokers, input.topic)
    const socket = await repeat(input, () => connections.offsets("latest"))
    connections.close()
    const admin = new Kafka({ brokers: [...input.brokers], logLevel: logLevel.NOTHING }).admin()
    await admin.connect()
    const kafkajs = await repeat(input, () => admin.fetchTopicOffsets(input.topic))
    await admin.disconnect()
    const common = { metric: "barrier", topic: input.topic, detail: "end offsets, idle" }
    return [
      { ...common, client: "socket", ...socket },
      { ...common, client: "kafkajs", ...kafkajs }
    ]
  })

const repeat = async ({ warmup, count }: Input, once: () => Promise<unknown>) => {
  const measured = histogram()
  for (let i = 0; i < warmup + count; i++) {
    const started = performance.now()
    await once()
    if (i >= warmup) record(measured, performance.now() - started)
  }
  return percentiles(measured)
}
