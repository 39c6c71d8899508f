/**
 * A broker's files before its first start: its settings and its formatted log directory.
 */
import { execFile } from "node:child_process"
import { randomBytes } from "node:crypto"
import { existsSync } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { promisify } from "node:util"
import { javaArguments } from "./brokerProcess.ts"
import type { Distribution } from "./jars.ts"

const run = promisify(execFile)

/** Cluster and directory ids are 16 random bytes in URL-safe base 64. */
export const randomId = (): string => {
  for (;;) {
    const id = randomBytes(16).toString("base64url")
    // The tools would take a leading dash for an option.
    if (!id.startsWith("-")) return id
  }
}

/** What every broker for tests is told: combined roles, small internal topics, no waiting for group members. */
export const baseProperties = (node: {
  readonly id: number
  readonly nodes: number
  readonly voters: string
  readonly data: string
}): Record<string, string> => {
  const replicas = String(Math.min(node.nodes, 3))
  const minimum = String(Math.min(node.nodes, 2))
  return {
    "process.roles": "broker,controller",
    "node.id": String(node.id),
    "controller.quorum.voters": node.voters,
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "INTERNAL",
    "log.dirs": node.data,
    "offsets.topic.replication.factor": replicas,
    "offsets.topic.num.partitions": "5",
    "transaction.state.log.replication.factor": replicas,
    "transaction.state.log.min.isr": minimum,
    "transaction.state.log.num.partitions": "5",
    "share.coordinator.state.topic.replication.factor": replicas,
    "share.coordinator.state.topic.min.isr": minimum,
    "share.coordinator.state.topic.num.partitions": "1",
    "default.replication.factor": replicas,
    "min.insync.replicas": minimum,
    "num.partitions": "1",
    // A broker that is killed or paused loses its leaderships after this long.
    "broker.session.timeout.ms": "5000",
    "broker.heartbeat.interval.ms": "500",
    "group.initial.rebalance.delay.ms": "0",
    "auto.create.topics.enable": "false",
    "log.cleaner.dedupe.buffer.size": "8388608",
    "log.cleaner.backoff.ms": "500"
  }
}

export const renderProperties = (properties: Readonly<Record<string, string>>): string =>
  Object.entries(properties)
    .map(([key, value]) => `${key}=${value.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}\n`)
    .join("")

/**
 * Formats a log directory. Kafka's tool writes `meta.properties` and `bootstrap.checkpoint` (the feature levels of the
 * release) and costs a whole JVM start, so its checkpoint is kept beside the jars and only the ids are written afresh.
 * Users of SCRAM are part of the checkpoint and need the tool each time.
 */
export const formatLogDirectory = async (options: {
  readonly distribution: Distribution
  readonly heap: string
  readonly clusterId: string
  readonly id: number
  readonly data: string
  readonly propertiesFile: string
  readonly arguments: ReadonlyArray<string>
}): Promise<void> => {
  const kept = path.join(options.distribution.directory, "bootstrap.checkpoint")
  const written = path.join(options.data, "bootstrap.checkpoint")
  if (options.arguments.length === 0 && existsSync(kept)) {
    await fs.mkdir(options.data, { recursive: true })
    await fs.copyFile(kept, written)
    await fs.writeFile(
      path.join(options.data, "meta.properties"),
      `version=1\ncluster.id=${options.clusterId}\nnode.id=${options.id}\ndirectory.id=${randomId()}\n`
    )
    return
  }
  await run(
    "java",
    javaArguments(options.distribution, options.heap, [
      "kafka.tools.StorageTool",
      "format",
      "-t",
      options.clusterId,
      "-c",
      options.propertiesFile,
      ...options.arguments
    ])
  )
  if (options.arguments.length === 0 && existsSync(written)) {
    const temporary = `${kept}.${process.pid}.${options.id}`
    await fs.copyFile(written, temporary)
    await fs.rename(temporary, kept)
  }
}
