/**
 * A child process that answers requests, one JSON object a line: the adapter between Node's child processes and Effect.
 *
 * Times are real ones, so that a peer also answers under `TestClock`.
 */
import { type ChildProcessWithoutNullStreams, execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { accessSync, constants } from "node:fs"
import * as path from "node:path"
import { createInterface } from "node:readline"
import { promisify } from "node:util"
import { Effect, type Scope } from "effect"
import { type PeerError, PeerFailed, PeerLost, PeerUnavailable } from "./PeerError.ts"

const startTimeout = 60_000
const requestTimeout = 90_000
const keptWords = 4_000

export interface PeerProcess {
  /** Fails with `PeerLost` when no answer comes within 90 seconds. */
  readonly request: <A>(op: string, args: object) => Effect.Effect<A, PeerError>
}

interface Answer {
  readonly id?: number
  readonly ready?: boolean
  readonly ok?: unknown
  readonly error?: { readonly type: string; readonly message: string }
}

interface Waiting {
  readonly op: string
  readonly settle: (answer: Effect.Effect<unknown, PeerError>) => void
}

const ready = 0

class Process {
  readonly peer: string
  readonly child: ChildProcessWithoutNullStreams
  private readonly waiting = new Map<number, Waiting>()
  private nextId = ready + 1
  private words = ""
  private end: string | undefined

  constructor(peer: string, command: string, args: ReadonlyArray<string>) {
    this.peer = peer
    this.child = spawn(command, args, { stdio: "pipe" })
    createInterface({ input: this.child.stdout }).on("line", (line) => this.onAnswer(line))
    this.child.stderr.setEncoding("utf8").on("data", (words: string) => this.keep(words))
    // A write to a process that has ended shows as its end.
    this.child.stdin.on("error", () => {})
    this.child.on("error", (error) => this.onEnd(error.message))
    this.child.on("close", (code, signal) => this.onEnd(`the process ended with ${signal ?? code}`))
  }

  private keep(words: string): void {
    this.words = (this.words + words).slice(-keptWords)
  }

  private onAnswer(line: string): void {
    // A library that prints is not an answer.
    if (!line.startsWith("{")) return this.keep(`${line}\n`)
    const answer = JSON.parse(line) as Answer
    const id = answer.ready ? ready : answer.id!
    const waiting = this.waiting.get(id)
    if (waiting === undefined) return
    this.waiting.delete(id)
    waiting.settle(
      answer.error === undefined
        ? Effect.succeed(answer.ok)
        : Effect.fail(
            new PeerFailed({
              peer: this.peer,
              request: waiting.op,
              type: answer.error.type,
              detail: answer.error.message
            })
          )
    )
  }

  private onEnd(reason: string): void {
    this.end ??= reason
    for (const { op, settle } of this.waiting.values()) settle(Effect.fail(this.lost(op, this.end)))
    this.waiting.clear()
  }

  private lost(request: string, reason: string): PeerLost {
    const detail = this.words === "" ? reason : `${reason}; it last said:\n${this.words}`
    return new PeerLost({ peer: this.peer, request, detail })
  }

  private await(id: number, op: string, timeout: number): Effect.Effect<unknown, PeerError> {
    return Effect.callback<unknown, PeerError>((resume) => {
      if (this.end !== undefined) return resume(Effect.fail(this.lost(op, this.end)))
      const timer = setTimeout(() => {
        this.waiting.delete(id)
        resume(Effect.fail(this.lost(op, `no answer within ${timeout} ms`)))
      }, timeout)
      const settle = (answer: Effect.Effect<unknown, PeerError>): void => {
        clearTimeout(timer)
        resume(answer)
      }
      this.waiting.set(id, { op, settle })
      return Effect.sync(() => {
        clearTimeout(timer)
        this.waiting.delete(id)
      })
    })
  }

  get isReady(): Effect.Effect<unknown, PeerError> {
    return this.await(ready, "start", startTimeout)
  }

  request(op: string, args: object): Effect.Effect<unknown, PeerError> {
    return Effect.suspend(() => {
      const id = this.nextId++
      this.child.stdin.write(`${JSON.stringify({ id, op, args })}\n`)
      return this.await(id, op, requestTimeout)
    })
  }

  async dispose(): Promise<void> {
    if (this.end !== undefined) return
    const closed = once(this.child, "close")
    this.child.kill("SIGKILL")
    await closed
  }
}

/**
 * Starts a process, and waits until it says that it is ready. Closing the scope kills it. A process outlives nobody: it
 * ends with its stdin, also when this process is killed.
 */
export const startPeer = (
  peer: string,
  command: string,
  args: ReadonlyArray<string>
): Effect.Effect<PeerProcess, PeerError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => new Process(peer, command, args)),
    (process) => Effect.promise(() => process.dispose())
  ).pipe(
    Effect.tap((process) => process.isReady),
    Effect.map((process) => ({
      request: <A>(op: string, args: object) => process.request(op, args) as Effect.Effect<A, PeerError>
    }))
  )

const execute = promisify(execFile)

/** Runs a step of a peer's installation to its end. */
export const runStep = (
  peer: string,
  command: string,
  args: ReadonlyArray<string>
): Effect.Effect<void, PeerUnavailable> =>
  Effect.tryPromise({
    try: (signal) => execute(command, args, { signal, timeout: 300_000, maxBuffer: 1 << 26 }),
    catch: (cause) => {
      const { stderr, message } = cause as Error & { readonly stderr?: string }
      const said = stderr ? stderr.trim().slice(-keptWords) : message
      return new PeerUnavailable({ peer, detail: `${command} ${args.slice(0, 3).join(" ")} failed: ${said}`, cause })
    }
  }).pipe(Effect.asVoid)

const isOnPath = (command: string): boolean =>
  (process.env["PATH"] ?? "").split(path.delimiter).some((directory) => {
    try {
      accessSync(path.join(directory, command), constants.X_OK)
      return true
    } catch {
      return false
    }
  })

/**
 * Why tests with a peer cannot run on this machine: the commands that are missing. Undefined where they can, and in
 * continuous integration (`CI`), where they have to.
 */
export const whyMissing = (commands: ReadonlyArray<string>): string | undefined => {
  if (process.env["CI"]) return undefined
  const missing = commands.filter((command) => !isOnPath(command))
  return missing.length === 0 ? undefined : `no ${missing.join(", no ")} on the PATH`
}
