/**
 * A real Kafka for tests.
 *
 * `layer` gives the one Kafka of the test run: the cluster that `KAFKA_BROKERS` names, else Apache Kafka in a container
 * (testcontainers), else Apache Kafka on the local JVM, fetched once through Maven. `startCluster` starts brokers of
 * one's own on the local JVM, which can be killed, paused and put behind fault proxies one by one.
 *
 * **Details**
 *
 * Without `@effect-ktables/testing/globalSetup` in vitest's `globalSetup`, each process that builds `layer` starts a
 * Kafka of its own. Brokers end with the process that started them, however it ends. All waiting is in real time, so
 * that tests under `TestClock` work.
 *
 * @since 0.1.0
 */
import { Context, type Duration, Duration as D, Effect, Layer, Schema, type Scope } from "effect"
import { randomBytes } from "node:crypto"
import * as fs from "node:fs/promises"
import * as FaultProxy from "./FaultProxy.ts"
import { launchCluster, type LocalNode } from "./internal/cluster.ts"
import { fetchJars } from "./internal/jars.ts"
import { users } from "./internal/security.ts"
import { acquireShared } from "./internal/shared.ts"
import * as TestAdmin from "./TestAdmin.ts"

/**
 * No Kafka could be had, or a broker did not start.
 *
 * @category errors
 * @since 0.1.0
 */
export class TestKafkaError extends Schema.TaggedError<TestKafkaError>()("TestKafkaError", {
  detail: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return this.detail
  }
}

const attempt = <A>(run: () => Promise<A>): Effect.Effect<A, TestKafkaError> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) => new TestKafkaError({ detail: cause instanceof Error ? cause.message : String(cause), cause })
  })

/**
 * A Kafka for tests, and how to change it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service {
  /** Where it came from: `KAFKA_BROKERS`, a container, or the local JVM. */
  readonly kind: "env" | "docker" | "jvm"
  /** `host:port`, without TLS or SASL. */
  readonly brokers: ReadonlyArray<string>
  /** Undefined for a cluster that was there before. */
  readonly version: string | undefined
  /** The directory of the broker's jars, when it runs on the local JVM; see `jars`. */
  readonly libs: string | undefined
  readonly admin: TestAdmin.TestAdmin
}

/**
 * A Kafka that listens.
 *
 * @category services
 * @since 0.1.0
 */
export class TestKafka extends Context.Service<TestKafka, Service>()("@effect-ktables/testing/TestKafka") {}

/**
 * The Kafka of the test run, shared by everything that uses this layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<TestKafka, TestKafkaError> = Layer.effect(
  TestKafka,
  Effect.map(attempt(acquireShared), ({ brokers, kind, libs, version }) =>
    TestKafka.of({ kind, brokers, version, libs, admin: TestAdmin.make(brokers) })
  )
)

/**
 * What a cluster of one's own is like.
 *
 * @category models
 * @since 0.1.0
 */
export interface ClusterOptions {
  /** Default 1. From 3 on the cluster survives the loss of one. */
  readonly nodes?: number
  /** The release, from Maven Central. Default 4.3.1. */
  readonly version?: string
  /** Settings of each broker, above the ones that tests need. */
  readonly properties?: Readonly<Record<string, string>>
  /** Settings of one broker, above `properties`; ids begin at 1. */
  readonly nodeProperties?: (id: number) => Readonly<Record<string, string>>
  /** Each JVM's heap. Default 256m. */
  readonly heap?: string
  /** Puts a fault proxy in front of each broker; clients are told its address. Default false. */
  readonly proxies?: boolean
}

/**
 * A broker of one's own. Its ports and data stay the same over restarts.
 *
 * @category models
 * @since 0.1.0
 */
export interface ClusterNode {
  readonly id: number
  /** Where clients connect: the proxy's address, if there is one. */
  readonly address: string
  readonly proxy: FaultProxy.FaultProxy | undefined
  /** Its `log.dirs`: what it has stored, in a folder for each partition. Only to be changed while it is stopped. */
  readonly data: string
  readonly isRunning: Effect.Effect<boolean>
  /** Ends the process at once (SIGKILL). */
  readonly kill: Effect.Effect<void>
  /** Ends the process in good order (SIGTERM), which hands its leaderships over. */
  readonly stop: Effect.Effect<void>
  /** Starts the broker again, and returns when it serves. */
  readonly start: Effect.Effect<void, TestKafkaError>
  /** Stops the process from running (SIGSTOP): connections stay open and silent. */
  readonly pause: Effect.Effect<void>
  readonly resume: Effect.Effect<void>
  /**
   * Kills the broker and empties its data under a new cluster id: once started, another cluster answers at the same
   * address. Only for a cluster of one.
   */
  readonly reformat: Effect.Effect<void, TestKafkaError>
  /** What the broker has logged. */
  readonly log: Effect.Effect<string>
}

/**
 * Brokers of one's own, one by one.
 *
 * @category models
 * @since 0.1.0
 */
export interface Cluster extends Service {
  /** Where the brokers talk to each other: never behind a proxy, for those who observe a test's clients from outside. */
  readonly innerBrokers: ReadonlyArray<string>
  readonly nodes: ReadonlyArray<ClusterNode>
}

/**
 * A broker with closed doors: beside the plain listener of `brokers`, three secured ones.
 *
 * @category models
 * @since 0.1.0
 */
export interface SecureCluster extends Cluster {
  /** PEM of the certificate's issuer. */
  readonly ca: string
  /** Passwords by user, the same for PLAIN and SCRAM. `admin` may do everything. */
  readonly users: { readonly admin: string; readonly alice: string; readonly mallory: string }
  /** SASL without TLS: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER with unsigned tokens. */
  readonly saslPlaintext: string
  /** The same over TLS. */
  readonly saslSsl: string
  /** TLS alone. */
  readonly ssl: string
}

const launchScoped = (options: ClusterOptions, secure: { readonly sessionLifetime: number | undefined } | undefined) =>
  Effect.acquireRelease(
    attempt(() =>
      launchCluster({
        nodes: options.nodes ?? 1,
        version: options.version,
        heap: options.heap ?? "256m",
        properties: (id) => ({ ...options.properties, ...options.nodeProperties?.(id) }),
        proxies: options.proxies ?? false,
        secure
      })
    ),
    (cluster) => Effect.promise(cluster.dispose)
  )

const makeNode = Effect.fnUntraced(function* (node: LocalNode, proxied: boolean) {
  const proxy = proxied
    ? yield* FaultProxy.make(`127.0.0.1:${node.clientPort}`, { port: node.advertisedPort })
    : undefined
  const broker = node.process
  const result: ClusterNode = {
    id: node.id,
    address: `127.0.0.1:${node.advertisedPort}`,
    proxy,
    data: node.data,
    isRunning: Effect.sync(broker.isRunning),
    kill: Effect.promise(broker.kill),
    stop: Effect.promise(broker.stop),
    start: attempt(broker.start),
    pause: Effect.promise(broker.pause),
    resume: Effect.sync(broker.resume),
    reformat: attempt(node.reformat),
    log: Effect.promise(() => fs.readFile(broker.logFile, "utf8"))
  }
  return result
})

const start = Effect.fnUntraced(function* (
  options: ClusterOptions,
  secure: { readonly sessionLifetime: number | undefined } | undefined
) {
  const local = yield* launchScoped(options, secure)
  const nodes = yield* Effect.forEach(local.nodes, (node) => makeNode(node, options.proxies ?? false))
  const inner = local.nodes.map((node) => `127.0.0.1:${node.innerPort}`)
  const cluster: Cluster = {
    kind: "jvm",
    brokers: nodes.map((node) => node.address),
    version: local.distribution.version,
    libs: local.distribution.libs,
    // Around the proxies, so that tests can act while their clients are cut off.
    admin: TestAdmin.make(inner),
    innerBrokers: inner,
    nodes
  }
  return { cluster, local }
})

/**
 * Starts brokers of one's own on the local JVM; they end with the scope.
 *
 * **Gotchas**
 *
 * Needs `java` and `mvn` even where `layer` finds a container engine: single brokers cannot be killed and paused in one.
 *
 * @category constructors
 * @since 0.1.0
 */
export const startCluster = (options: ClusterOptions = {}): Effect.Effect<Cluster, TestKafkaError, Scope.Scope> =>
  Effect.map(start(options, undefined), ({ cluster }) => cluster)

/**
 * Starts one broker with TLS, SASL and access rules (everything is allowed until a rule says otherwise).
 *
 * @category constructors
 * @since 0.1.0
 */
export const startSecure = Effect.fnUntraced(function* (
  options: Omit<ClusterOptions, "nodes" | "proxies"> & {
    /** How long a SASL session lasts before the client must authenticate again (KIP-368). Default: for ever. */
    readonly sessionLifetime?: Duration.Input
  } = {}
): Effect.fn.Return<SecureCluster, TestKafkaError, Scope.Scope> {
  const sessionLifetime = options.sessionLifetime === undefined ? undefined : D.toMillis(options.sessionLifetime)
  const { cluster, local } = yield* start(options, { sessionLifetime })
  const { secure } = local.nodes[0]!
  return {
    ...cluster,
    ca: local.certificate!.ca,
    users,
    saslPlaintext: `127.0.0.1:${secure.saslPlaintext}`,
    saslSsl: `localhost:${secure.saslSsl}`,
    ssl: `localhost:${secure.ssl}`
  }
})

/**
 * A Kafka of one's own as the `TestKafka` service.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerWith = (options: ClusterOptions): Layer.Layer<TestKafka, TestKafkaError> =>
  Layer.effect(TestKafka, startCluster(options))

/**
 * A name that no other test uses.
 *
 * @category constructors
 * @since 0.1.0
 */
export const uniqueName = (prefix: string = "test"): Effect.Effect<string> =>
  Effect.sync(() => `${prefix}-${randomBytes(6).toString("hex")}`)

/**
 * The directory of a release's jars (broker, clients, tools), fetched through Maven when it is not there: the class path
 * for Java programs that tests compare with.
 *
 * @category constructors
 * @since 0.1.0
 */
export const jars = (version?: string): Effect.Effect<string, TestKafkaError> =>
  Effect.map(
    attempt(() => fetchJars(version)),
    ({ libs }) => libs
  )
