/** The way from a client to the embedded brokers: it counts what passes, and can be cut, frozen and made to fail. */
import { Clock, Effect } from "effect"
import { BrokerError, ConnectionFailed, type KafkaError, RequestTimedOut } from "../../KafkaError.ts"
import type { FailOptions, RequestMatcher, RequestName } from "./model.ts"
import type { Broker } from "../../KafkaClient.ts"
import type { Cluster } from "./cluster.ts"
import { Quotas } from "./quotas.ts"
import { Signal, waitUntil } from "./signal.ts"

interface Rule {
  readonly matcher: RequestMatcher
  readonly failure: number | KafkaError
  readonly carriedOut: boolean
  left: number
}

/** A request as the network sees it. */
export interface Call {
  readonly request: RequestName
  /** Undefined where any broker will do. */
  readonly broker: number | undefined
  readonly topic: string | undefined
  /** Undefined where the request is not about partitions, so that an error code fails the whole call. */
  readonly partitions: ReadonlyArray<number> | undefined
}

/** A connection of the client: brokers leave it unread for the time for which they throttle (KIP-219). */
export interface Connection {
  unreadUntil: number
  /** How often its broker had been cut off when it was opened; undefined before. */
  openedAfter: number | undefined
}

export const newConnection = (): Connection => ({ unreadUntil: 0, openedAfter: undefined })

/** What has become of a request on its way: the partitions that are to answer with an error code, and how to end it. */
export interface Passage {
  readonly failing: ReadonlyMap<number, number>
  readonly end: Effect.Effect<void, KafkaError>
}

const apiNames: Readonly<Record<RequestName, string>> = {
  describeTopic: "Metadata",
  listTopics: "Metadata",
  listOffsets: "ListOffsets",
  endOffsetForEpoch: "OffsetForLeaderEpoch",
  fetch: "Fetch",
  initProducerId: "InitProducerId",
  produce: "Produce",
  createTopic: "CreateTopics",
  describeConfig: "DescribeConfigs",
  alterConfig: "IncrementalAlterConfigs"
}

const nothingFailing: ReadonlyMap<number, number> = new Map()

export class Network {
  readonly brokers: ReadonlyArray<Broker>
  /** Given when a broker is cut off, frozen, or back. */
  readonly signal = new Signal()
  readonly counts = new Map<RequestName, number>()
  readonly quotas = new Quotas()
  private readonly requestTimeout: number
  /** Fetchers have their own. */
  private readonly connections = new Map<string, Connection>()
  private readonly cut = new Set<number>()
  /** How often each broker was cut off. */
  private readonly cuts = new Map<number, number>()
  private readonly frozen = new Set<number>()
  private rules: Array<Rule> = []

  constructor(cluster: Cluster, requestTimeout: number) {
    this.brokers = cluster.brokerIds.map((id) => ({ id, host: `memory-${id}`, port: 9092, rack: cluster.rackOf(id) }))
    this.requestTimeout = requestTimeout
  }

  /** Applies to one broker, or to all of them. */
  set(state: "cut" | "frozen", on: boolean, broker: number | undefined): void {
    const set = this[state]
    for (const { id } of this.brokers) {
      if (broker !== undefined && id !== broker) continue
      if (!on) set.delete(id)
      else {
        set.add(id)
        if (state === "cut") this.breakConnections(id)
      }
    }
    this.signal.give()
  }

  /** Breaks all connections of the brokers that can be reached; they can be reached again at once. */
  reset(): void {
    const reachable = this.brokers.filter(({ id }) => !this.cut.has(id))
    for (const { id } of reachable) {
      this.cut.add(id)
      this.breakConnections(id)
    }
    this.signal.give()
    for (const { id } of reachable) this.cut.delete(id)
    this.signal.give()
  }

  fail(matcher: RequestMatcher, failure: number | KafkaError, options: FailOptions): void {
    this.rules.push({ matcher, failure, carriedOut: options.carriedOut ?? false, left: options.times ?? 1 })
  }

  clearFailures(): void {
    this.rules = []
  }

  /** Fails when the broker is out of reach. */
  lost(call: Pick<Call, "broker" | "request">): ConnectionFailed | undefined {
    const id = call.broker ?? this.brokers.find((broker) => !this.cut.has(broker.id))?.id
    if (id !== undefined && !this.cut.has(id) && this.brokers.some((broker) => broker.id === id)) return undefined
    return new ConnectionFailed({
      broker: this.address(call.broker),
      request: apiNames[call.request],
      detail: "the broker is out of reach"
    })
  }

  /** The connection on which a request goes that is no fetch: as clients do it, produces have one of their own. */
  connectionFor({ broker, request }: Pick<Call, "broker" | "request">): Connection {
    const place = `${this.reached(broker)}${request === "produce" ? " produce" : ""}`
    let connection = this.connections.get(place)
    if (connection === undefined) {
      connection = newConnection()
      this.connections.set(place, connection)
    }
    return connection
  }

  /**
   * Counts what was carried out against the quotas, and leaves the connection unread for the throttle time that comes of
   * it.
   */
  throttle(
    connection: Connection,
    broker: number | undefined,
    cost: { readonly request: string; readonly bytes: number; readonly isAnswered: boolean }
  ): Effect.Effect<number> {
    return Effect.map(Clock.currentTimeMillis, (now) => {
      const throttle = this.quotas.throttleOf(this.reached(broker), cost, now)
      if (throttle > 0) connection.unreadUntil = Math.max(connection.unreadUntil, now + throttle)
      return throttle
    })
  }

  address(broker: number | undefined): string {
    const found = this.brokers.find(({ id }) => id === (broker ?? 1))
    return found === undefined ? `broker ${broker}` : `${found.host}:${found.port}`
  }

  refusal(call: Call, code: number, detail?: string): BrokerError {
    return new BrokerError({
      broker: this.address(call.broker),
      request: apiNames[call.request],
      code,
      ...(call.topic === undefined ? {} : { topic: call.topic }),
      ...(detail === undefined ? {} : { detail })
    })
  }

  /** Lets one request through: to be run before it is carried out; `end` before its answer is given. */
  enter(call: Call, connection: Connection): Effect.Effect<Passage, KafkaError> {
    return Effect.andThen(
      Effect.suspend(() => {
        this.counts.set(call.request, (this.counts.get(call.request) ?? 0) + 1)
        return Effect.andThen(
          Effect.andThen(this.open(call, connection), this.awaitRead(call, connection)),
          this.reach(call)
        )
      }),
      Effect.suspend((): Effect.Effect<Passage, KafkaError> => {
        const rule = this.rules.find((one) => matches(one.matcher, call))
        if (rule === undefined) return Effect.succeed({ failing: nothingFailing, end: this.reach(call) })
        rule.left--
        if (rule.left <= 0) this.rules = this.rules.filter((one) => one !== rule)
        const { failure, matcher } = rule
        if (typeof failure === "number" && call.partitions !== undefined && !rule.carriedOut) {
          const failing = call.partitions.filter((one) => matcher.partition === undefined || one === matcher.partition)
          return Effect.succeed({ failing: new Map(failing.map((one) => [one, failure])), end: this.reach(call) })
        }
        const error = typeof failure === "number" ? this.refusal(call, failure) : failure
        return rule.carriedOut
          ? Effect.succeed({ failing: nothingFailing, end: Effect.andThen(this.reach(call), Effect.fail(error)) })
          : Effect.fail(error)
      })
    )
  }

  private reached(broker: number | undefined): number {
    return broker ?? this.brokers.find(({ id }) => !this.cut.has(id))?.id ?? -1
  }

  private breakConnections(broker: number): void {
    this.cuts.set(broker, (this.cuts.get(broker) ?? 0) + 1)
  }

  /** Opens the connection if need be, which begins with a request for the versions that the broker speaks. */
  private open(call: Pick<Call, "broker" | "request">, connection: Connection): Effect.Effect<unknown> {
    return Effect.suspend(() => {
      const cuts = this.cuts.get(this.reached(call.broker)) ?? 0
      if (connection.openedAfter === cuts || this.lost(call) !== undefined) return Effect.void
      connection.openedAfter = cuts
      connection.unreadUntil = 0
      return this.throttle(connection, call.broker, { request: "openConnection", bytes: 0, isAnswered: true })
    })
  }

  /** Waits until the broker reads the connection, or breaks it. */
  private awaitRead(call: Call, connection: Connection): Effect.Effect<void> {
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      if (connection.unreadUntil <= now) return Effect.void
      const broken = () => (this.lost(call) === undefined ? undefined : Effect.void)
      return Effect.andThen(
        Effect.timeoutOrElse(waitUntil([this.signal], broken), {
          duration: connection.unreadUntil - now,
          orElse: () => Effect.void
        }),
        Effect.suspend(() => (this.lost(call) === undefined ? this.awaitRead(call, connection) : Effect.void))
      )
    })
  }

  /** Waits while the broker is frozen, as long as a client would. */
  private reach(call: Call): Effect.Effect<void, KafkaError> {
    return Effect.suspend((): Effect.Effect<void, KafkaError> => {
      const check = (): Effect.Effect<void, KafkaError> | undefined => {
        const lost = this.lost(call)
        if (lost !== undefined) return Effect.fail(lost)
        const usable =
          call.broker === undefined
            ? this.brokers.some(({ id }) => !this.cut.has(id) && !this.frozen.has(id))
            : !this.frozen.has(call.broker)
        return usable ? Effect.void : undefined
      }
      return (
        check() ??
        Effect.timeoutOrElse(waitUntil([this.signal], check), {
          duration: this.requestTimeout,
          orElse: () =>
            new RequestTimedOut({
              broker: this.address(call.broker),
              request: apiNames[call.request],
              timeout: this.requestTimeout
            })
        })
      )
    })
  }
}

const matches = (matcher: RequestMatcher, call: Call): boolean =>
  (matcher.request === undefined || matcher.request === call.request) &&
  (matcher.broker === undefined || call.broker === undefined || matcher.broker === call.broker) &&
  (matcher.topic === undefined || matcher.topic === call.topic) &&
  (matcher.partition === undefined || call.partitions === undefined || call.partitions.includes(matcher.partition))
