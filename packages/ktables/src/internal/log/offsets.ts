/** Asks leaders where the logs of a session's partitions begin and end. */
import { Effect } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import type { KafkaError } from "../../KafkaError.ts"
import type { Partition } from "./partition.ts"
import type { SessionContext } from "./sessionContext.ts"

export interface KnownOffset {
  readonly partition: Partition
  readonly offset: number
}

export interface Offsets {
  readonly list: (
    broker: number,
    at: KafkaClient.ListOffsetsRequest["at"],
    isolation: KafkaClient.Isolation,
    of: ReadonlyArray<Partition>
  ) => Effect.Effect<ReadonlyArray<KafkaClient.ListedOffset>, KafkaError>
  /** As `list`, of those for which the broker answers with an offset. */
  readonly known: (...question: Parameters<Offsets["list"]>) => Effect.Effect<ReadonlyArray<KnownOffset>>
  /** One end of one log, by default whatever the isolation; undefined where its leader does not tell. */
  readonly listOne: (
    partition: Partition,
    at: "earliest" | "latest",
    isolation?: KafkaClient.Isolation
  ) => Effect.Effect<number | undefined>
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

  const told = (listed: ReadonlyArray<KafkaClient.ListedOffset>): ReadonlyArray<KnownOffset> =>
    listed.flatMap(({ errorCode, offset, partition: number }) => {
      const partition = partitions.get(number)
      return partition === undefined || errorCode !== 0 || offset < 0 ? [] : { partition, offset }
    })
  const known: Offsets["known"] = (...question) =>
    Effect.map(Effect.result(list(...question)), (listed) => (listed._tag === "Failure" ? [] : told(listed.success)))

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
      for (const { offset, partition } of told(ends)) {
        partition.endsAt(offset, i === 0)
        metrics.lag(partition)
      }
    }
  })

  return {
    list,
    known,
    listOne: (partition, at, isolation = "read_uncommitted") =>
      Effect.map(
        known(partition.leader, at, isolation, [partition]),
        (ends) => ends.find((end) => end.partition === partition)?.offset
      ),
    lookAhead: (targets) =>
      Effect.suspend(() => {
        const behind = [...partitions.values()].filter((p) => p.readTo < (targets.get(p.partition) ?? 0))
        return eachLeader(behind, lookAheadOf)
      })
  }
}
