/**
 * The floor of a replay: fetch answers are read off the socket and dropped. Only batch headers are looked at, since they
 * alone tell where the next fetch begins.
 */
import { Effect } from "effect"
import type { Cell } from "../harness/cells.ts"
import { mebibytes, rssMiB } from "../harness/memory.ts"
import { stopwatch } from "../harness/stopwatch.ts"
import { TopicConnections } from "../topics/provision.ts"
import { fetch, nextOffset } from "../wire/requests.ts"
import type { WireConnection } from "../wire/WireConnection.ts"

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
    const [start, end] = await Promise.all([connections.offsets("earliest"), connections.offsets("latest")])
    const leaders = connections.byLeader()
    await Promise.all(
      leaders.map(({ connection, partitions }) =>
        drain(connection, topic, new Map(partitions.map((p) => [p, start.get(p)!])), end, partitionBytes)
      )
    )
    const { cpuMs, ms } = elapsed()
    connections.close()
    let records = 0
    for (const [partition, offset] of end) records += offset - start.get(partition)!
    const bytes = leaders.reduce((sum, { connection }) => sum + connection.bytesRead, 0)
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

const drain = async (
  connection: WireConnection,
  topic: string,
  positions: Map<number, number>,
  end: ReadonlyMap<number, number>,
  partitionBytes: number
): Promise<void> => {
  const finish = (): void => {
    for (const [partition, position] of positions) if (position >= end.get(partition)!) positions.delete(partition)
  }
  finish()
  while (positions.size > 0) {
    for (const { partition, records } of await fetch(connection, topic, positions, partitionBytes)) {
      const next = nextOffset(records)
      if (next !== undefined) positions.set(partition, next)
    }
    finish()
  }
}
