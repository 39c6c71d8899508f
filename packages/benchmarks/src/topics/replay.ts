/** Reads a topic from its start to its end, answer by answer, over connections with nothing in between. */
import { fetch } from "../wire/requests.ts"
import type { TopicConnections } from "./provision.ts"

export interface Replayed {
  readonly records: number
  readonly bytes: number
}

/**
 * @param partitionBytes what a fetch asks of each partition.
 * @param take uses a record set; hands back the offset behind its last whole batch, undefined where there is none.
 */
export const replay = async (
  connections: TopicConnections,
  partitionBytes: number,
  take: (records: Buffer) => number | undefined
): Promise<Replayed> => {
  const { topic } = connections
  const leaders = connections.byLeader()
  const read = () => leaders.reduce((sum, { connection }) => sum + connection.bytesRead, 0)
  const before = read()
  const [start, end] = await Promise.all([connections.offsets("earliest"), connections.offsets("latest")])
  await Promise.all(
    leaders.map(async ({ connection, partitions }) => {
      const positions = new Map(partitions.map((partition) => [partition, start.get(partition)!]))
      for (;;) {
        for (const [partition, position] of positions) {
          if (position >= end.get(partition)!) positions.delete(partition)
        }
        if (positions.size === 0) return
        for (const { partition, records } of await fetch(connection, topic, positions, partitionBytes)) {
          const next = take(records)
          if (next !== undefined) positions.set(partition, next)
        }
      }
    })
  )
  let records = 0
  for (const [partition, offset] of end) records += offset - start.get(partition)!
  return { records, bytes: read() - before }
}
