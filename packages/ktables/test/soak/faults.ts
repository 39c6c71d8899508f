/** What may befall a cluster of three: each fault heals itself, and one broker at most is away at a time. */
import { Effect } from "effect"
import type { FaultProxy, TestAdmin, TestKafka } from "@effect-ktables/testing"
import type { Random } from "./random.ts"

export interface Grounds {
  readonly cluster: TestKafka.Cluster
  readonly topics: ReadonlyArray<string>
  /** Those that may get more partitions. */
  readonly growing: ReadonlyArray<string>
  readonly random: Random
}

export interface Fault {
  readonly name: string
  readonly run: Effect.Effect<void, TestKafka.TestKafkaError | TestAdmin.TestAdminError>
}

const PRODUCE = 0
const FETCH = 1
const MOST_PARTITIONS = 16
/** Longer than the topics' shortest `delete.retention.ms`. */
const ABSENCE = [11_000, 16_000] as const
const unlimited = { consumer_byte_rate: null, producer_byte_rate: null, request_percentage: null }

/** The next fault, its place and its length; everything random about it is drawn before it runs. */
export const draw = ({ cluster, growing, random, topics }: Grounds): Fault => {
  const node = random.pick(cluster.nodes)
  const proxy = node.proxy!
  const topic = random.pick(topics)
  const grown = random.pick(growing)
  const of = `broker ${node.id}`
  const millis = random.between(300, 4000)
  const hold = Effect.sleep(millis)
  const api = random.pick([PRODUCE, FETCH])
  const direction = random.pick(["toBroker", "toClient", "both"] as const)
  const partition = random.between(0, 1)
  const order = random.pick([
    [1, 2, 3],
    [2, 3, 1],
    [3, 1, 2]
  ])
  const latency = random.between(20, 800)
  const absence = random.between(...ABSENCE)
  const quotas = random.pick([
    { consumer_byte_rate: random.between(2_000, 40_000) },
    { producer_byte_rate: random.between(2_000, 40_000) },
    { request_percentage: random.between(1, 5) }
  ])
  const { admin } = cluster
  const everyProxy = (use: (proxy: FaultProxy.FaultProxy) => Effect.Effect<void>) =>
    Effect.forEach(cluster.nodes, ({ proxy }) => use(proxy!), { discard: true })
  const faults: ReadonlyArray<Fault> = [
    { name: `cut every connection to ${of}`, run: proxy.cut },
    {
      name: `lose an answer of ${of} (request ${api})`,
      run: Effect.flatMap(proxy.dropNextAnswer(api), (done) => Effect.asVoid(Effect.timeoutOption(done, "5 seconds")))
    },
    {
      name: `lose a request to ${of} (request ${api})`,
      run: Effect.flatMap(proxy.dropNextRequest(api), (done) => Effect.asVoid(Effect.timeoutOption(done, "5 seconds")))
    },
    {
      name: `freeze ${of} ${direction} for ${millis} ms`,
      run: proxy.freeze(direction).pipe(Effect.andThen(hold), Effect.ensuring(proxy.thaw))
    },
    {
      name: `delay ${of} by ${latency} ms for ${millis} ms`,
      run: proxy.delay(latency).pipe(Effect.andThen(hold), Effect.ensuring(proxy.delay(0)))
    },
    {
      name: `narrow ${of} to 50 kB/s for ${millis} ms`,
      run: proxy.limit(50_000).pipe(Effect.andThen(hold), Effect.ensuring(proxy.limit(undefined)))
    },
    {
      name: `refuse connections to ${of} for ${millis} ms`,
      run: proxy.refuse.pipe(Effect.andThen(proxy.cut), Effect.andThen(hold), Effect.ensuring(proxy.accept))
    },
    {
      name: `cut everybody off for ${absence} ms, while Java writes on`,
      run: everyProxy(({ cut, refuse }) => Effect.andThen(refuse, cut)).pipe(
        Effect.andThen(Effect.sleep(absence)),
        Effect.ensuring(everyProxy(({ accept }) => accept))
      )
    },
    {
      name: `quotas ${JSON.stringify(quotas)} for ${2 * millis} ms`,
      run: admin
        .setClientQuotas(quotas)
        .pipe(
          Effect.andThen(hold),
          Effect.andThen(hold),
          Effect.ensuring(Effect.orDie(admin.setClientQuotas(unlimited)))
        )
    },
    { name: `kill ${of}`, run: Effect.andThen(node.kill, node.start) },
    { name: `restart ${of}`, run: Effect.andThen(node.stop, node.start) },
    {
      name: `pause ${of} for ${2 * millis} ms`,
      run: node.pause.pipe(Effect.andThen(hold), Effect.andThen(hold), Effect.ensuring(node.resume))
    },
    {
      name: `lead ${topic}[${partition}] by broker ${order[0]}`,
      run: Effect.andThen(
        admin.assignReplicas(topic, partition, order),
        // A preferred leader that is not in sync yet is refused: then the reassignment was the fault.
        Effect.ignore(admin.electLeader(topic, partition, "preferred"))
      )
    },
    {
      name: `grow ${grown}`,
      run: Effect.flatMap(admin.describe(grown), ({ partitions }) =>
        // To a multiple: a key is then never sent back to where an older record of it still lies.
        2 * partitions.length <= MOST_PARTITIONS ? admin.createPartitions(grown, 2 * partitions.length) : Effect.void
      )
    }
  ]
  return random.pick(faults)
}
