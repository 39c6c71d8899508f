/**
 * The one Kafka of a test run: the cluster that KAFKA_BROKERS names, else a container, else a broker on the local JVM.
 */
import { launchCluster } from "./cluster.ts"
import { dockerAnswers, startContainer } from "./docker.ts"
import { defaultVersion, jvmAnswers } from "./jars.ts"

/** What a process needs to know to use the Kafka that another one started. */
export interface SharedKafka {
  readonly kind: "env" | "docker" | "jvm"
  readonly brokers: ReadonlyArray<string>
  /** Undefined for a cluster that was there before. */
  readonly version: string | undefined
  readonly libs: string | undefined
}

export interface RunningKafka extends SharedKafka {
  readonly stop: () => Promise<void>
}

const sources = {
  env: "named by KAFKA_BROKERS",
  docker: "in a container",
  jvm: "on the local JVM"
}

/** What a test run says of its Kafka. */
export const nameOf = ({ brokers, kind, version }: SharedKafka): string =>
  `${version === undefined ? "Kafka" : `Apache Kafka ${version}`} ${sources[kind]}, ${brokers.join(",")}`

/** Handed from the process that starts Kafka to the workers that test with it. */
export const sharedVariable = "EFFECT_KTABLES_TEST_KAFKA"

const noKafka = `no Kafka for the tests. One of these is needed:
  - KAFKA_BROKERS=host:port[,host:port] naming a cluster without TLS or SASL
  - a container engine that testcontainers finds
  - java (17 or later) and mvn on the PATH`

const begin = async (): Promise<RunningKafka> => {
  const handed = process.env[sharedVariable]
  if (handed !== undefined) return { ...(JSON.parse(handed) as SharedKafka), stop: async () => {} }
  const named = process.env["KAFKA_BROKERS"]?.split(",").map((address) => address.trim()) ?? []
  const brokers = named.filter((address) => address !== "")
  if (brokers.length > 0) {
    return { kind: "env", brokers, version: undefined, libs: undefined, stop: async () => {} }
  }
  if (await dockerAnswers()) {
    const { broker, stop } = await startContainer(defaultVersion)
    return { kind: "docker", brokers: [broker], version: defaultVersion, libs: undefined, stop }
  }
  if (!(await jvmAnswers())) throw new Error(noKafka)
  const cluster = await launchCluster({
    nodes: 1,
    version: undefined,
    heap: "512m",
    properties: () => ({}),
    proxies: false,
    secure: undefined
  })
  return {
    kind: "jvm",
    brokers: cluster.nodes.map((node) => `127.0.0.1:${node.advertisedPort}`),
    version: cluster.distribution.version,
    libs: cluster.distribution.libs,
    stop: cluster.dispose
  }
}

// Test runners evaluate a module once per project; the Kafka of a process is still one.
const slot = Symbol.for("@effect-ktables/testing/shared")
const registry = globalThis as { [slot]?: { running: Promise<RunningKafka>; users: number } }

/** Starts Kafka for this process, or joins the start under way. */
export const acquireShared = (): Promise<RunningKafka> => {
  const held = (registry[slot] ??= { running: begin(), users: 0 })
  held.users++
  return held.running
}

/** Stops Kafka with its last user. */
export const releaseShared = async (): Promise<void> => {
  const held = registry[slot]
  if (held === undefined || --held.users > 0) return
  delete registry[slot]
  await held.running.then((kafka) => kafka.stop())
}
