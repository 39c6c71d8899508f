/** The command against the Kafka of the test run, and what its tests share. */
import { TestKafka } from "@effect-ktables/testing"
import { JavaPeer } from "@effect-ktables/testing/interop"
import { Effect } from "effect"
import { mkdtempSync, rmSync } from "node:fs"
import * as net from "node:net"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { type Options, run, start } from "./ktables.ts"

export const on = Effect.fnUntraced(function* (args: ReadonlyArray<string>, options: Options = {}) {
  const { brokers } = yield* TestKafka.TestKafka
  return yield* run(args, { ...options, env: { KAFKA_BROKERS: brokers.join(","), ...options.env } })
})

export const running = Effect.fnUntraced(function* (args: ReadonlyArray<string>, options: Options = {}) {
  const { brokers } = yield* TestKafka.TestKafka
  return yield* start(args, { ...options, env: { KAFKA_BROKERS: brokers.join(","), ...options.env } })
})

/** The name of a new topic. */
export const made = Effect.fnUntraced(function* (
  options: {
    readonly partitions?: number
    readonly policy?: string
    readonly config?: Readonly<Record<string, string>>
  } = {}
) {
  const java = yield* JavaPeer.JavaPeer
  const topic = yield* TestKafka.uniqueName("cli")
  const { config, partitions = 1, policy = "compact" } = options
  yield* java.createTopic({ topic, partitions, config: { "cleanup.policy": policy, ...config } })
  return topic
})

/** A folder that goes with the scope. */
export const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(path.join(tmpdir(), "ktables-cli-"))),
  (name) => Effect.sync(() => rmSync(name, { recursive: true, force: true }))
)

/** A port at which nobody listens. */
export const refusingPort = Effect.gen(function* () {
  const server = net.createServer().listen(0, "127.0.0.1")
  yield* Effect.callback<void>((resume) => void server.once("listening", () => resume(Effect.void)))
  const { port } = server.address() as net.AddressInfo
  yield* Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
  return port
})

export const isWhole = (text: string): boolean => text === "" || text.endsWith("\n")

/** Without what a terminal takes for commands. */
export const bare = (text: string): string =>
  // oxlint-disable-next-line no-control-regex
  text.replaceAll(/\u001b\[[0-9;?]*[A-Za-z]/g, "")
