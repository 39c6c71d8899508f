/** Asks leaders where the logs of a session's partitions begin and end. */
import { Effect } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import type { KafkaError } from "../../KafkaError.ts"
import type { Partition } from "./partition.ts"
import type { SessionContext } from "./sessionContext.ts"

export interface Offsets {
  readonly list: (
    broker: number,
    at: "earliest" | "latest",
    isolation: KafkaClient.Isolation,
    of: ReadonlyArray<Partition>
  ) => Effect.Effect<ReadonlyArray<KafkaClient.ListedOffset>, KafkaError>
  /** One end of one log, whatever the isolation; undefined where its leader cannot tell. */
  readonly listOne: (partition: Partition, at: "earliest" | "latest") => Effect.Effect<number | undefined, KafkaError>
  /** Asks where the ends are of partitions that have not been read to their targets, without waiting for a long poll to tell. */
  readonly lookAhead: (targets: ReadonlyMap<number, number>) => Effect.Effect<void>
}

/** The partitions that have a leader, by its broker id. */
export const byLeader = (of: Iterable<Partition>): ReadonlyMap<number, Array<Partition>> => {
  const groups = new Map<number, Array<Partition>>()
  for (const partition of of) {
    if (partition.leader < 0) continue
    const group = groups.get(partition.leader)
    if (group === undefined) groups.set(partition.leader, [partition])
    else group.push(partition)
  }
  return groups
}

/** Asks each leader for its own, all beside one another. */
export const eachLeader = (
  of: Iterable<Partition>,
  ask: (leader: number, group: ReadonlyArray<Partition>) => Effect.Effect<void>
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const asking = Array.from(byLeader(of), ([leader, group]) => ask(leader, group))
    // Without a fiber for the only one.
    return asking.length === 1 ? asking[0]! : Effect.all(asking, { concurrency: "unbounded", discard: true })
  })

export const make = ({ client, metrics, partitions, topic }: SessionContext): Offsets => {
  const list: Offsets["list"] = (broker, at, isolation, of) =>
    client.listOffsets(broker, {
      topic,
      at,
      isolation,
      partitions: of.map((p) => ({ partition: p.partition, leaderEpoch: p.leaderEpoch }))
    })

  const lookAheadOf = Effect.fnUntraced(function* (
    leader: number,
    group: ReadonlyArray<Partition>
  ): Effect.fn.Return<void> {
    const listed = yield* Effect.result(
      Effect.all([list(leader, "latest", "read_committed", group), list(leader, "latest", "read_uncommitted", group)], {
        concurrency: 2
      })
    )
    if (listed._tag === "Failure") return
    for (const [i, ends] of listed.success.entries()) {
      for (const { errorCode, offset, partition } of ends) {
        const known = partitions.get(partition)
        if (known === undefined || errorCode !== 0) continue
        known.endsAt(offset, i === 0)
        metrics.lag(known)
      }
    }
  })

  return {
    list,
    listOne: (partition, at) =>
      Effect.map(list(partition.leader, at, "read_uncommitted", [partition]), (listed) => {
        const first = listed.find((l) => l.partition === partition.partition)
        return first === undefined || first.errorCode !== 0 || first.offset < 0 ? undefined : first.offset
      }),
    lookAhead: (targets) =>
      Effect.suspend(() => {
        const behind = [...partitions.values()].filter((p) => p.readTo < (targets.get(p.partition) ?? 0))
        return eachLeader(behind, lookAheadOf)
      })
  }
}
