/**
 * The floor of a replay: fetch answers are read off the socket and dropped. Only batch headers are looked at, since they
 * alone tell where the next fetch begins.
 */
import { Effect } from "effect"
import type { Cell } from "../harness/cells.ts"
import { mebibytes, rssMiB } from "../harness/memory.ts"
import { stopwatch } from "../harness/stopwatch.ts"
import { TopicConnections } from "../topics/provision.ts"
import { replay } from "../topics/replay.ts"
import { nextOffset } from "../wire/requests.ts"

export interface Input {
  readonly brokers: ReadonlyArray<string>
  readonly topic: string
  /** What a fetch asks of each partition, in bytes. */
  readonly partitionBytes: number
}

export const cell: Cell<Input> = ({ brokers, topic, partitionBytes }) =>
  Effect.promise(async () => {
    const elapsed = stopwatch()
    const connections = await TopicConnections.open(brokers, topic)
    const { bytes, records } = await replay(connections, partitionBytes, nextOffset)
    const { cpuMs, ms } = elapsed()
    connections.close()
    return [
      {
        metric: "drain",
        client: "socket",
        topic,
        detail: `${mebibytes(partitionBytes)} MiB per partition, ${mebibytes(bytes)} MiB read`,
        ms,
        cpuMs,
        records,
        rps: (records / ms) * 1000,
        rssMiB: rssMiB()
      }
    ]
  })
