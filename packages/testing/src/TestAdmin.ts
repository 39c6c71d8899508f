/**
 * What tests do to a cluster that the library itself never does: delete and grow topics, delete records, move replicas,
 * elect leaders, grant and revoke rights, set quotas.
 *
 * Times are real ones: a test under `TestClock` may call any of these.
 *
 * @since 0.1.0
 */
import { Effect, Schema } from "effect"
import { ask, type Reader, type WireRequest, Writer } from "./internal/wire.ts"

/**
 * A request of a test that the cluster did not carry out.
 *
 * @category errors
 * @since 0.1.0
 */
export class TestAdminError extends Schema.TaggedError<TestAdminError>()("TestAdminError", {
  request: Schema.String,
  /** The protocol's error code, -1 where there is none. */
  code: Schema.Int,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.request}: ${this.detail}${this.code > 0 ? ` (error code ${this.code})` : ""}`
  }
}

/**
 * A partition with its replicas.
 *
 * @category models
 * @since 0.1.0
 */
export interface PartitionState {
  readonly partition: number
  readonly errorCode: number
  readonly leader: number
  readonly leaderEpoch: number
  readonly replicas: ReadonlyArray<number>
  readonly inSync: ReadonlyArray<number>
}

/**
 * A rule of access. Numbers follow the protocol: resource type 2 is a topic, 3 a group, 4 the cluster, 5 a
 * transactional id; operation 2 all, 3 read, 4 write, 5 create, 8 describe, 10 describe configs, 11 alter configs, 12
 * idempotent write.
 *
 * @category models
 * @since 0.1.0
 */
export interface Acl {
  readonly resourceType: number
  readonly resource: string
  readonly principal: string
  readonly operation: number
  readonly permission: "allow" | "deny"
}

/**
 * Quotas of a client id on each broker, by their names in Kafka: bytes or requests a second, per cent of one request
 * thread. Null takes a quota away.
 *
 * @category models
 * @since 0.1.0
 */
export interface ClientQuotas {
  readonly consumer_byte_rate?: number | null
  readonly producer_byte_rate?: number | null
  readonly request_percentage?: number | null
  readonly controller_mutation_rate?: number | null
}

/**
 * Administers a cluster over connections of its own.
 *
 * @category models
 * @since 0.1.0
 */
export interface TestAdmin {
  /** The brokers the cluster shows, and the topic's partitions (none when it is not there). */
  readonly describe: (topic?: string) => Effect.Effect<
    {
      readonly brokers: ReadonlyArray<{ readonly id: number; readonly address: string }>
      readonly partitions: ReadonlyArray<PartitionState>
    },
    TestAdminError
  >
  /** Returns when every broker that answers shows the partition so. */
  readonly awaitPartition: (
    topic: string,
    partition: number,
    holds: (state: PartitionState) => boolean
  ) => Effect.Effect<void, TestAdminError>
  /** Returns when each partition has a leader. `assignments` places replicas, one list of broker ids per partition. */
  readonly createTopic: (options: {
    readonly topic: string
    readonly partitions?: number
    readonly replicationFactor?: number
    readonly assignments?: ReadonlyArray<ReadonlyArray<number>>
    readonly config?: Readonly<Record<string, string>>
  }) => Effect.Effect<void, TestAdminError>
  /** Returns when the topic is gone from the metadata. */
  readonly deleteTopic: (topic: string) => Effect.Effect<void, TestAdminError>
  /** Grows a topic to `count` partitions, and returns when each has a leader. */
  readonly createPartitions: (topic: string, count: number) => Effect.Effect<void, TestAdminError>
  /** Drops the records below `before` (-1: all of them) and returns the new start of the log. */
  readonly deleteRecords: (topic: string, partition: number, before: number) => Effect.Effect<number, TestAdminError>
  /** Moves a partition to these brokers, the preferred leader first, and returns when the move is done. */
  readonly assignReplicas: (
    topic: string,
    partition: number,
    replicas: ReadonlyArray<number>
  ) => Effect.Effect<void, TestAdminError>
  /** `unclean` elects a replica out of sync when no other is left: acknowledged records may go. */
  readonly electLeader: (
    topic: string,
    partition: number,
    kind: "preferred" | "unclean"
  ) => Effect.Effect<void, TestAdminError>
  /** Makes a replica the preferred leader, elects it, and returns when every broker that answers shows it as leader. */
  readonly moveLeader: (topic: string, partition: number, broker: number) => Effect.Effect<void, TestAdminError>
  readonly alterConfig: (topic: string, set: Readonly<Record<string, string>>) => Effect.Effect<void, TestAdminError>
  /**
   * Sets quotas of a client id, or of every client id that has none of its own, and returns when every broker that
   * answers shows them.
   */
  readonly setClientQuotas: (quotas: ClientQuotas, clientId?: string) => Effect.Effect<void, TestAdminError>
  /** The highest version of a request that every broker speaks, -1 when one does not know it (ApiVersions). */
  readonly highestVersion: (apiKey: number) => Effect.Effect<number, TestAdminError>
  readonly createAcl: (acl: Acl) => Effect.Effect<void, TestAdminError>
  readonly deleteAcl: (acl: Acl) => Effect.Effect<void, TestAdminError>
}

const settleTimeout = 60_000

// PREFERRED_LEADER_NOT_AVAILABLE, ELIGIBLE_LEADERS_NOT_AVAILABLE.
const notYetElectable = [80, 83]

const refused = (request: string, code: number, detail: string | null): void => {
  if (code !== 0) throw new TestAdminError({ request, code, detail: detail ?? "refused" })
}

const asAdminError =
  (request: string) =>
  (cause: unknown): TestAdminError =>
    cause instanceof TestAdminError
      ? cause
      : new TestAdminError({ request, code: -1, detail: cause instanceof Error ? cause.message : String(cause) })

interface Metadata {
  readonly brokers: Array<{ readonly id: number; readonly address: string }>
  readonly errorCode: number
  readonly partitions: Array<PartitionState>
}

const metadata = async (address: string, topic: string | undefined): Promise<Metadata> => {
  const body = new Writer()
  body
    .array(topic === undefined ? [] : [topic], (name) => body.string(name))
    .int8(0)
    .int8(0)
    .int8(0)
  const answer = await ask(address, { name: "Metadata", apiKey: 3, version: 8, body })
  answer.int32()
  const brokers = answer.array(() => {
    const broker = { id: answer.int32(), address: `${answer.string()}:${answer.int32()}` }
    answer.string()
    return broker
  })
  answer.string()
  answer.int32()
  const topics = answer.array(() => {
    const errorCode = answer.int16()
    answer.string()
    answer.int8()
    const partitions = answer.array(() => {
      const code = answer.int16()
      const partition = answer.int32()
      const leader = answer.int32()
      const leaderEpoch = answer.int32()
      const replicas = answer.array(() => answer.int32())
      const inSync = answer.array(() => answer.int32())
      answer.array(() => answer.int32())
      return { partition, errorCode: code, leader, leaderEpoch, replicas, inSync }
    })
    answer.int32()
    return { errorCode, partitions: partitions.sort((a, b) => a.partition - b.partition) }
  })
  return { brokers, errorCode: topics[0]?.errorCode ?? 0, partitions: topics[0]?.partitions ?? [] }
}

/** The quotas that a broker shows for a client id, or for the default one, by name. */
const clientQuotas = async (address: string, clientId: string | null): Promise<ReadonlyMap<string, number>> => {
  const body = new Writer()
    .int32(1)
    .string("client-id")
    .int8(clientId === null ? 1 : 0)
  body.string(clientId).int8(1)
  const answer = await ask(address, { name: "DescribeClientQuotas", apiKey: 48, version: 0, body })
  answer.int32()
  refused("DescribeClientQuotas", answer.int16(), answer.string())
  return new Map(
    answer
      .array(() => {
        answer.array(() => [answer.string(), answer.string()])
        return answer.array(() => [answer.string() ?? "", answer.float64()] as const)
      })
      .flat()
  )
}

const highestVersion = async (address: string, apiKey: number): Promise<number> => {
  const answer = await ask(address, { name: "ApiVersions", apiKey: 18, version: 0, body: new Writer() })
  refused("ApiVersions", answer.int16(), null)
  const versions = answer.array(() => {
    const key = answer.int16()
    answer.int16()
    return { key, max: answer.int16() }
  })
  return versions.find(({ key }) => key === apiKey)?.max ?? -1
}

const effect = <A>(name: string, use: () => Promise<A>): Effect.Effect<A, TestAdminError> =>
  Effect.tryPromise({ try: use, catch: asAdminError(name) })

const led =
  (count: number) =>
  (seen: Metadata): boolean =>
    seen.partitions.length === count && seen.partitions.every((p) => p.leader >= 0 && p.errorCode === 0)

const acl = (body: Writer, { operation, permission, principal, resource, resourceType }: Acl): Writer =>
  body
    .int8(resourceType)
    .string(resource)
    .int8(3)
    .string(principal)
    .string("*")
    .int8(operation)
    .int8(permission === "deny" ? 2 : 3)

/**
 * An admin that talks to the first of `addresses` that answers, over plain connections.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (addresses: ReadonlyArray<string>): TestAdmin => {
  /** Tries each broker once; nothing has reached a broker whose connection fails to open. */
  const anywhere = async <A>(use: (address: string) => Promise<A>): Promise<A> => {
    let last: unknown
    for (const address of addresses) {
      try {
        return await use(address)
      } catch (error) {
        if (error instanceof TestAdminError) throw error
        last = error
      }
    }
    throw last
  }

  const request = (wire: WireRequest): Promise<Reader> => anywhere((address) => ask(address, wire))

  const describe = (topic: string | undefined): Promise<Metadata> => anywhere((address) => metadata(address, topic))

  /** Waits until every broker that answers shows what was changed. */
  const shown = async <A>(
    name: string,
    what: string,
    look: (address: string) => Promise<A>,
    holds: (seen: A) => boolean
  ): Promise<void> => {
    const until = Date.now() + settleTimeout
    for (;;) {
      const seen = await Promise.allSettled(addresses.map(look))
      const answers = seen.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []))
      if (answers.length > 0 && answers.every(holds)) return
      if (Date.now() > until) {
        throw new TestAdminError({ request: name, code: -1, detail: `${what} did not settle in ${settleTimeout} ms` })
      }
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  const settled = (name: string, topic: string, holds: (seen: Metadata) => boolean): Promise<void> =>
    shown(name, topic, (address) => metadata(address, topic), holds)

  const leaderOf = async (topic: string, partition: number): Promise<string> => {
    const seen = await describe(topic)
    const leader = seen.partitions.find((p) => p.partition === partition)?.leader
    const broker = seen.brokers.find((b) => b.id === leader)
    if (broker === undefined) {
      throw new TestAdminError({ request: "Metadata", code: -1, detail: `${topic}[${partition}] has no leader` })
    }
    return broker.address
  }

  const assignReplicas: TestAdmin["assignReplicas"] = (topic, partition, replicas) =>
    effect("AlterPartitionReassignments", async () => {
      const body = new Writer().int32(30_000).varint(2).compactString(topic).varint(2).int32(partition)
      body.compactArray(replicas, (id) => body.int32(id))
      body.varint(0).varint(0).varint(0)
      const answer = await request({
        name: "AlterPartitionReassignments",
        apiKey: 45,
        version: 0,
        flexible: true,
        body
      })
      answer.int32()
      refused("AlterPartitionReassignments", answer.int16(), answer.compactString())
      answer.compactArray(() => {
        answer.compactString()
        answer.compactArray(() => {
          answer.int32()
          refused(`AlterPartitionReassignments ${topic}[${partition}]`, answer.int16(), answer.compactString())
          answer.tags()
        })
        answer.tags()
      })
      const wanted = [...replicas].sort().join()
      await settled("AlterPartitionReassignments", topic, (seen) => {
        const now = seen.partitions.find((p) => p.partition === partition)
        return now !== undefined && now.leader >= 0 && [...now.replicas].sort().join() === wanted
      })
    })

  const electLeader: TestAdmin["electLeader"] = (topic, partition, kind) =>
    effect("ElectLeaders", async () => {
      const body = new Writer()
        .int8(kind === "unclean" ? 1 : 0)
        .int32(1)
        .string(topic)
        .int32(1)
        .int32(partition)
      body.int32(30_000)
      const answer = await request({ name: "ElectLeaders", apiKey: 43, version: 1, body })
      answer.int32()
      refused("ElectLeaders", answer.int16(), null)
      answer.array(() => {
        answer.string()
        answer.array(() => {
          answer.int32()
          const code = answer.int16()
          const detail = answer.string()
          // ELECTION_NOT_NEEDED: it leads already.
          if (code !== 84) refused(`ElectLeaders ${topic}[${partition}]`, code, detail)
        })
      })
    })
  return {
    describe: (topic) =>
      effect("Metadata", () => describe(topic)).pipe(
        Effect.map(({ brokers, partitions }) => ({ brokers, partitions }))
      ),

    awaitPartition: (topic, partition, holds) =>
      effect("Metadata", () =>
        settled("Metadata", topic, (seen) => seen.partitions.some((p) => p.partition === partition && holds(p)))
      ),

    createTopic: ({ assignments = [], config = {}, partitions = 1, replicationFactor = -1, topic }) =>
      effect("CreateTopics", async () => {
        const placed = assignments.length > 0
        const body = new Writer().int32(1).string(topic)
        body.int32(placed ? -1 : partitions).int16(placed ? -1 : replicationFactor)
        body.array([...assignments.entries()], ([partition, brokers]) =>
          body.int32(partition).array(brokers, (id) => body.int32(id))
        )
        body.array(Object.entries(config), ([key, value]) => body.string(key).string(value))
        body.int32(30_000).int8(0)
        const answer = await request({ name: "CreateTopics", apiKey: 19, version: 4, body })
        answer.int32()
        answer.array(() => {
          answer.string()
          refused(`CreateTopics ${topic}`, answer.int16(), answer.string())
        })
        await settled("CreateTopics", topic, led(placed ? assignments.length : partitions))
      }),

    deleteTopic: (topic) =>
      effect("DeleteTopics", async () => {
        const body = new Writer().int32(1).string(topic).int32(30_000)
        const answer = await request({ name: "DeleteTopics", apiKey: 20, version: 3, body })
        answer.int32()
        answer.array(() => {
          answer.string()
          refused(`DeleteTopics ${topic}`, answer.int16(), null)
        })
        await settled("DeleteTopics", topic, (seen) => seen.errorCode === 3)
      }),

    createPartitions: (topic, count) =>
      effect("CreatePartitions", async () => {
        const body = new Writer().int32(1).string(topic).int32(count).int32(-1).int32(30_000).int8(0)
        const answer = await request({ name: "CreatePartitions", apiKey: 37, version: 1, body })
        answer.int32()
        answer.array(() => {
          answer.string()
          refused(`CreatePartitions ${topic}`, answer.int16(), answer.string())
        })
        await settled("CreatePartitions", topic, led(count))
      }),

    deleteRecords: (topic, partition, before) =>
      effect("DeleteRecords", async () => {
        const body = new Writer().int32(1).string(topic).int32(1).int32(partition).int64(before).int32(30_000)
        const answer = await ask(await leaderOf(topic, partition), {
          name: "DeleteRecords",
          apiKey: 21,
          version: 1,
          body
        })
        answer.int32()
        const [start] = answer
          .array(() => {
            answer.string()
            return answer.array(() => {
              answer.int32()
              const low = answer.int64()
              refused(`DeleteRecords ${topic}[${partition}]`, answer.int16(), null)
              return low
            })
          })
          .flat()
        return start ?? -1
      }),

    assignReplicas,

    electLeader,

    moveLeader: (topic, partition, broker) =>
      Effect.gen(function* () {
        const until = performance.now() + settleTimeout
        const state = Effect.map(
          effect("Metadata", () => describe(topic)),
          ({ partitions }) => partitions.find((one) => one.partition === partition)
        )
        const replicas = (yield* state)?.replicas ?? []
        if (!replicas.includes(broker)) {
          return yield* new TestAdminError({
            request: "moveLeader",
            code: -1,
            detail: `broker ${broker} has no replica of ${topic}[${partition}]`
          })
        }
        yield* assignReplicas(topic, partition, [broker, ...replicas.filter((id) => id !== broker)])
        // A replica that is not in sync yet is not elected.
        while (performance.now() < until) {
          yield* Effect.catchIf(
            electLeader(topic, partition, "preferred"),
            ({ code }) => notYetElectable.includes(code),
            () => Effect.void
          )
          if ((yield* state)?.leader === broker) break
          yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 20)))
        }
        yield* effect("ElectLeaders", () =>
          settled("ElectLeaders", topic, ({ partitions }) =>
            partitions.some((one) => one.partition === partition && one.leader === broker)
          )
        )
      }),

    alterConfig: (topic, set) =>
      effect("IncrementalAlterConfigs", async () => {
        const body = new Writer().int32(1).int8(2).string(topic)
        body.array(Object.entries(set), ([key, value]) => body.string(key).int8(0).string(value))
        body.int8(0)
        const answer = await request({ name: "IncrementalAlterConfigs", apiKey: 44, version: 0, body })
        answer.int32()
        answer.array(() => {
          refused(`IncrementalAlterConfigs ${topic}`, answer.int16(), answer.string())
          answer.int8()
          answer.string()
        })
      }),

    setClientQuotas: (quotas, clientId) =>
      effect("AlterClientQuotas", async () => {
        const name = clientId ?? null
        const set = Object.entries(quotas).filter((entry): entry is [string, number | null] => entry[1] !== undefined)
        const body = new Writer().int32(1).int32(1).string("client-id").string(name)
        body.array(set, ([quota, value]) =>
          body
            .string(quota)
            .float64(value ?? 0)
            .int8(value === null ? 1 : 0)
        )
        body.int8(0)
        const answer = await request({ name: "AlterClientQuotas", apiKey: 49, version: 0, body })
        answer.int32()
        answer.array(() => {
          refused("AlterClientQuotas", answer.int16(), answer.string())
          answer.array(() => [answer.string(), answer.string()])
        })
        await shown(
          "AlterClientQuotas",
          `the quotas of ${clientId ?? "all clients"}`,
          (address) => clientQuotas(address, name),
          (seen) => set.every(([quota, value]) => (seen.get(quota) ?? null) === value)
        )
      }),

    highestVersion: (apiKey) =>
      effect("ApiVersions", async () => {
        const spoken = await Promise.all(addresses.map((address) => highestVersion(address, apiKey)))
        return Math.min(...spoken)
      }),

    createAcl: (rule) =>
      effect("CreateAcls", async () => {
        const body = acl(new Writer().int32(1), rule)
        const answer = await request({ name: "CreateAcls", apiKey: 30, version: 1, body })
        answer.int32()
        answer.array(() => refused("CreateAcls", answer.int16(), answer.string()))
      }),

    deleteAcl: (rule) =>
      effect("DeleteAcls", async () => {
        const body = acl(new Writer().int32(1), rule)
        const answer = await request({ name: "DeleteAcls", apiKey: 31, version: 1, body })
        answer.int32()
        // The rules that matched follow the first code and are not read.
        if (answer.int32() > 0) refused("DeleteAcls", answer.int16(), answer.string())
      })
  }
}
