/**
 * A cluster of brokers on the local JVM: its ports, files and processes.
 */
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { baseProperties, formatLogDirectory, randomId, renderProperties } from "./brokerFiles.ts"
import { type BrokerProcess, makeBrokerProcess } from "./brokerProcess.ts"
import { type Distribution, fetchJars } from "./jars.ts"
import { freePorts } from "./ports.ts"
import { type Certificate, makeCertificate, scramArguments, secureListeners, secureProperties } from "./security.ts"
import type { SecurePorts } from "./security.ts"
import { temporaryRoot } from "./watchdog.ts"

export interface ClusterOptions {
  readonly nodes: number
  readonly version: string | undefined
  readonly heap: string
  /** Of each broker, by its id. */
  readonly properties: (id: number) => Readonly<Record<string, string>>
  readonly proxies: boolean
  readonly secure: { readonly sessionLifetime: number | undefined } | undefined
}

export interface LocalNode {
  readonly id: number
  /** Where the broker listens for clients; behind its proxy, if there is one. */
  readonly clientPort: number
  /** Where clients are told to connect: the proxy's port, or the client port. */
  readonly advertisedPort: number
  /** Where the brokers talk to each other; never proxied. */
  readonly innerPort: number
  readonly secure: SecurePorts
  /** `log.dirs`. */
  readonly data: string
  readonly process: BrokerProcess
  /** Kills the broker and empties its data: it starts as another cluster behind the same ports. */
  readonly reformat: () => Promise<void>
}

export interface LocalCluster {
  readonly distribution: Distribution
  readonly nodes: ReadonlyArray<LocalNode>
  readonly certificate: Certificate | undefined
  readonly dispose: () => Promise<void>
}

const join = (...parts: ReadonlyArray<string | undefined>): string =>
  parts.filter((part) => part !== undefined).join(",")

const portsPerNode = 7
const attempts = 3

const launch = async (options: ClusterOptions, distribution: Distribution): Promise<LocalCluster> => {
  const directory = await fs.mkdtemp(path.join(temporaryRoot(), "cluster-"))
  const ports = await freePorts(portsPerNode * options.nodes)
  const port = (node: number, which: number): number => ports[node * portsPerNode + which]!
  const indexes = Array.from({ length: options.nodes }, (_, index) => index)
  const voters = indexes.map((index) => `${index + 1}@127.0.0.1:${port(index, 0)}`).join(",")
  const clusterId = randomId()
  const certificate = options.secure === undefined ? undefined : await makeCertificate(directory)

  const nodes = await Promise.all(
    indexes.map(async (index): Promise<LocalNode> => {
      const id = index + 1
      const home = path.join(directory, `node-${id}`)
      const data = path.join(home, "data")
      await fs.mkdir(home)
      const innerPort = port(index, 1)
      const clientPort = port(index, 2)
      const advertisedPort = options.proxies ? port(index, 3) : clientPort
      const secure = { saslPlaintext: port(index, 4), saslSsl: port(index, 5), ssl: port(index, 6) }
      const extra = certificate === undefined ? undefined : secureListeners(secure)
      const properties = {
        ...baseProperties({ id, nodes: options.nodes, voters, data }),
        listeners: join(
          `PLAINTEXT://127.0.0.1:${clientPort},INTERNAL://127.0.0.1:${innerPort},CONTROLLER://127.0.0.1:${port(index, 0)}`,
          extra?.listeners
        ),
        "advertised.listeners": join(
          `PLAINTEXT://127.0.0.1:${advertisedPort},INTERNAL://127.0.0.1:${innerPort}`,
          extra?.advertised
        ),
        "listener.security.protocol.map": join(
          "CONTROLLER:PLAINTEXT,INTERNAL:PLAINTEXT,PLAINTEXT:PLAINTEXT",
          extra?.protocols
        ),
        ...(certificate === undefined ? {} : secureProperties(certificate, options.secure?.sessionLifetime)),
        ...options.properties(id)
      }
      const propertiesFile = path.join(home, "server.properties")
      await fs.writeFile(propertiesFile, renderProperties(properties))
      const format = (cluster: string): Promise<void> =>
        formatLogDirectory({
          distribution,
          heap: options.heap,
          clusterId: cluster,
          id,
          data,
          propertiesFile,
          arguments: certificate === undefined ? [] : scramArguments
        })
      await format(clusterId)
      const logFile = path.join(home, "broker.log")
      const process = makeBrokerProcess({ distribution, heap: options.heap, properties: propertiesFile, logFile })
      const reformat = async (): Promise<void> => {
        await process.kill()
        await fs.rm(data, { recursive: true, force: true })
        await format(randomId())
      }
      return { id, clientPort, advertisedPort, innerPort, secure, data, process, reformat }
    })
  )
  const dispose = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.process.dispose()))
    await fs.rm(directory, { recursive: true, force: true, maxRetries: 5 })
  }
  const started = await Promise.allSettled(nodes.map((node) => node.process.start()))
  const failed = started.find((one) => one.status === "rejected")
  if (failed !== undefined) {
    await dispose()
    throw failed.reason
  }
  return { distribution, nodes, certificate, dispose }
}

/** Starts the brokers; when another process took one of the ports in the meantime, on other ports. */
export const launchCluster = async (options: ClusterOptions): Promise<LocalCluster> => {
  const distribution = await fetchJars(options.version)
  for (let attempt = 1; ; attempt++) {
    try {
      return await launch(options, distribution)
    } catch (error) {
      if (attempt === attempts || !String(error).includes("Address already in use")) throw error
    }
  }
}
