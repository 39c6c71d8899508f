import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Cause, Effect, Exit, Layer, Logger, Option, Runtime } from "effect"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { randomBytes } from "node:crypto"
import { demo } from "./demo.ts"
import { follow } from "./follow.ts"
import { page } from "./page.ts"
import type { Settings } from "./settings.ts"
import type { Output } from "./terminal/Output.ts"

/** Loaded only where a cluster is asked for. */
const cluster = (brokers: ReadonlyArray<string>) =>
  Layer.unwrap(
    Effect.map(
      Effect.promise(() => import("@effect-ktables/kafkajs")),
      ({ KafkaJsClient }) => KafkaJsClient.layer({ brokers, clientId: "effect-ktables-demo" })
    )
  )

/** Ctrl-C is how a followed topic is meant to end. */
const endsByHand: Runtime.Teardown = (exit, onExit) =>
  Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause) ? onExit(0) : Runtime.defaultTeardown(exit, onExit)

const quit = () => process.exit(130)

/** A slow reader gets all of the output, unless the person asks to end while it is waited for. */
const flush = (output: Output) =>
  Effect.promise(() => {
    process.once("SIGINT", quit).once("SIGTERM", quit)
    return output.flushed()
  })

/** Runs what the settings say to the end of the process. */
export const run = (settings: Extract<Settings, { readonly _tag: "Demo" | "Follow" }>, output: Output): void => {
  let notice: string | undefined
  const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
    if (logLevel !== "Warn" && logLevel !== "Error" && logLevel !== "Fatal") return
    notice = (Array.isArray(message) ? message : [message]).map(String).join(" ")
    // Errors end the program, which then tells them itself.
    if (!output.isScreen && logLevel === "Warn") console.error(notice)
  })

  const where = settings.brokers === undefined ? "embedded Kafka" : settings.brokers.join(",")
  const options = { where, notice: () => notice }
  const program = Effect.scoped(
    Effect.suspend(() => {
      if (settings._tag === "Follow") return follow(output, { ...options, topic: settings.topic }, output.close)
      const isOwn = settings.brokers === undefined
      const topic = isOwn ? "packages" : `ktables-demo-${randomBytes(4).toString("hex")}`
      return Effect.map(demo(output, { ...options, topic }), (line) =>
        output.close(
          isOwn ? `${line} Look at it in a browser: pnpm demo --page.` : `${line} The topic ${topic} stays on ${where}.`
        )
      )
    })
  )

  const teardown = settings._tag === "Follow" ? endsByHand : Runtime.defaultTeardown
  const client = settings.brokers === undefined ? MemoryKafka.layer : cluster(settings.brokers)
  const main = program.pipe(
    Effect.provide(Layer.provideMerge(client, Logger.layer([logger]))),
    Effect.onExit((exit) =>
      Effect.sync(() => {
        // For a reader that leaves before it has taken the rest.
        teardown(exit, (code) => (process.exitCode = code))
        output.close()
        if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return
        const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
        if (error === undefined) console.error(Cause.pretty(exit.cause))
        else if (error._tag === "TopicNotFound") console.error(`topic ${error.topic} does not exist on ${where}`)
        else console.error(error.message)
      })
    ),
    Effect.ensuring(flush(output))
  )
  NodeRuntime.runMain(main, { disableErrorReporting: true, teardown })
}

/** Serves the page to the end of the process. */
export const runPage = (port: number): void =>
  page(port).pipe(Effect.provide(MemoryKafka.layer), (main) => NodeRuntime.runMain(main, { teardown: endsByHand }))
