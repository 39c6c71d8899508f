/**
 * `pnpm soak [--minutes 10] [--seed N] [--transport kafkajs|platformatic] [--only cluster|logs]`: one broker that
 * becomes other clusters, a long run on three brokers under random faults, then the long run of the random logs. A process
 * that has left a handle open says which, and fails.
 */
import { Effect, References } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createRequire } from "node:module"
import * as path from "node:path"
import { setImmediate as nextTurn } from "node:timers/promises"
import { parseArgs } from "node:util"
import { transports } from "../integration/faults/scenario.ts"
import { soak } from "./soak.ts"

const { values } = parseArgs({
  options: {
    minutes: { type: "string" },
    seed: { type: "string" },
    transport: { type: "string" },
    only: { type: "string" }
  }
})
const seed = values.seed === undefined ? Math.floor(Math.random() * 1e9) : Number(values.seed)
const minutes = Number(values.minutes ?? 10)
const transport = transports.find((name) => name === values.transport)
const only = values.only
if (
  !Number.isSafeInteger(seed) ||
  !(minutes > 0) ||
  (values.transport !== undefined && transport === undefined) ||
  (only !== undefined && only !== "cluster" && only !== "logs")
) {
  throw new Error(
    "usage: soak [--minutes 10] [--seed N] [--transport kafkajs|platformatic] [--only cluster|logs], N a whole number"
  )
}

const log = (line: string) => process.stdout.write(`${line}\n`)

const onCluster = async (): Promise<boolean> => {
  log(`soak of ${minutes} minutes, seed ${seed}, ${transport ?? transports.join(" and ")}`)
  const exit = await soak({ seconds: minutes * 60, seed, transport, log }).pipe(
    Effect.scoped,
    // What tables and writers warn of is what is done to them.
    Effect.provideService(References.MinimumLogLevel, "Error"),
    Effect.runPromiseExit
  )
  if (exit._tag === "Failure") log(`failed with seed ${seed}:\n${String(exit.cause)}`)
  else
    log(
      `passed with seed ${seed}: every table is what its log says, nothing acknowledged was lost, doubled or reordered`
    )
  return exit._tag === "Success"
}

const ofLogs = async (): Promise<boolean> => {
  const vitest = path.join(path.dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs")
  const child = spawn(
    process.execPath,
    [vitest, "run", "--project", "ktables", "packages/ktables/test/faults/randomLogs.test.ts"],
    { stdio: "inherit", env: { ...process.env, SOAK: "1" } }
  )
  const [code] = await once(child, "exit")
  return code === 0
}

const passed = (only === "logs" || (await onCluster())) && (only === "cluster" || (await ofLogs()))
process.exitCode = passed ? 0 : 1

const handles = () => process.getActiveResourcesInfo().filter((name) => !["TTYWrap", "PipeWrap"].includes(name))
const giveUp = performance.now() + 10_000
// Handles are looked at while the event loop runs: one that keeps nothing alive can still keep Node from exiting.
do await nextTurn()
while (handles().length > 0 && performance.now() < giveUp)
log(`active handles: ${handles().join(", ") || "none"}`)
if (handles().length > 0) process.exit(2)
