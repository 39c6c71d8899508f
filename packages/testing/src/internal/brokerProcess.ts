/**
 * One broker as a JVM of its own, which can be killed, stopped, paused and started again on the same ports and data.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { closeSync, existsSync, openSync } from "node:fs"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { promisify } from "node:util"
import type { Distribution } from "./jars.ts"
import { watch } from "./watchdog.ts"

const run = promisify(execFile)

const readyLine = "Kafka Server started"
const startTimeout = 120_000
const pauseTimeout = 10_000

// A broker for tests is started often and lives shortly: the first compiler and the simplest collector start fastest.
const flags = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xshare:auto"]

const sharedClasses = (distribution: Distribution): string => path.join(distribution.directory, "classes.jsa")

/** The command line of a Java program on the broker's class path. */
export const javaArguments = (
  distribution: Distribution,
  heap: string,
  program: ReadonlyArray<string>
): Array<string> => {
  const archive = sharedClasses(distribution)
  return [
    `-Xmx${heap}`,
    ...flags,
    // The dump needs JDK 17; JDK 8 to 16 would refuse the flag.
    "-XX:+IgnoreUnrecognizedVMOptions",
    existsSync(archive) ? `-XX:SharedArchiveFile=${archive}` : "-XX:+RecordDynamicDumpInfo",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-cp",
    path.join(distribution.libs, "*"),
    ...program
  ]
}

const dumping = new Set<string>()

/** Keeps the classes a running broker has loaded, so that later ones start in half the time. */
const keepClasses = async (distribution: Distribution, pid: number): Promise<void> => {
  const archive = sharedClasses(distribution)
  if (existsSync(archive) || dumping.has(archive)) return
  dumping.add(archive)
  const temporary = `${archive}.${pid}`
  try {
    await run("jcmd", [String(pid), "VM.cds", "dynamic_dump", temporary], { timeout: 30_000 })
    await fs.rename(temporary, archive)
  } catch {
    // A JVM that cannot dump only starts more slowly the next time.
    await fs.rm(temporary, { force: true })
  } finally {
    dumping.delete(archive)
  }
}

export interface BrokerProcess {
  readonly logFile: string
  readonly pid: () => number | undefined
  readonly isRunning: () => boolean
  readonly start: () => Promise<void>
  readonly kill: () => Promise<void>
  readonly stop: () => Promise<void>
  readonly pause: () => Promise<void>
  readonly resume: () => void
  /** Ends the broker for good, at once; its data is not needed any more. */
  readonly dispose: () => Promise<void>
}

export const makeBrokerProcess = (options: {
  readonly distribution: Distribution
  readonly heap: string
  readonly properties: string
  readonly logFile: string
}): BrokerProcess => {
  let child: ChildProcess | undefined
  const isRunning = () => child !== undefined && child.exitCode === null && child.signalCode === null

  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const running = child
    if (running === undefined || !isRunning()) return
    const ended = once(running, "exit")
    running.ref()
    running.kill("SIGCONT")
    running.kill(signal)
    await ended
  }

  const waitUntilReady = async (started: ChildProcess, from: number): Promise<void> => {
    const until = Date.now() + startTimeout
    for (;;) {
      const log = (await fs.readFile(options.logFile)).subarray(from).toString()
      if (log.includes(readyLine)) return
      if (started.exitCode !== null || started.signalCode !== null) {
        throw new Error(`the broker ended while starting:\n${log.slice(-4000)}`)
      }
      if (Date.now() > until) throw new Error(`the broker was not ready in ${startTimeout} ms:\n${log.slice(-4000)}`)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  return {
    logFile: options.logFile,
    pid: () => (isRunning() ? child?.pid : undefined),
    isRunning,
    start: async () => {
      if (isRunning()) return
      const log = openSync(options.logFile, "a")
      const from = (await fs.stat(options.logFile)).size
      const started = spawn(
        "java",
        javaArguments(options.distribution, options.heap, ["kafka.Kafka", options.properties]),
        // A session of its own: Ctrl-C in the terminal ends the tests first, and the broker with them.
        { stdio: ["ignore", log, log], detached: true }
      )
      closeSync(log)
      child = started
      const failed = new Promise<never>((_, reject) => started.once("error", reject))
      watch(started)
      started.unref()
      await Promise.race([failed, waitUntilReady(started, from)])
    },
    kill: () => end("SIGKILL"),
    stop: () => end("SIGTERM"),
    pause: async () => {
      const pid = isRunning() ? child?.pid : undefined
      if (pid === undefined) return
      child!.kill("SIGSTOP")
      // The signal takes hold when the process is scheduled next: on a busy machine it goes on answering until then.
      const until = Date.now() + pauseTimeout
      while (isRunning() && Date.now() < until) {
        // Undefined where there is no such file, on other systems than Linux.
        const stat = await fs.readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined)
        if (stat === undefined || stat.slice(stat.lastIndexOf(")")).startsWith(") T")) return
      }
    },
    resume: () => {
      child?.kill("SIGCONT")
    },
    dispose: async () => {
      const pid = isRunning() ? child?.pid : undefined
      if (pid !== undefined) {
        child!.kill("SIGCONT")
        await keepClasses(options.distribution, pid)
      }
      await end("SIGKILL")
    }
  }
}
