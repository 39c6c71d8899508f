/** Runs an example the way a person does: as a process of its own, judged by what it prints and how it ends. */
import { Effect, Schema, type Scope } from "effect"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

export class ExampleFailed extends Schema.TaggedError<ExampleFailed>()("ExampleFailed", {
  detail: Schema.String,
  output: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return [`${this.detail}; it printed:`, ...this.output].join("\n  ")
  }
}

export interface ExampleProcess {
  /** The first line, from the start on, that matches: now or later. Fails when the process ends without it. */
  readonly line: (pattern: RegExp) => Effect.Effect<string, ExampleFailed>
  readonly lines: (stream: "stdout" | "stderr") => ReadonlyArray<string>
  /** Gives the process a line to read. */
  readonly say: (text: string) => Effect.Effect<void>
  /** Asks the process to end. */
  readonly terminate: Effect.Effect<void>
  /** Ends it without asking, as `kill -9` does. */
  readonly kill: Effect.Effect<void>
  /** Waits for the end. */
  readonly exitCode: Effect.Effect<number | null, ExampleFailed>
}

const PATIENCE = "60 seconds"

const isRunning = (child: ChildProcess) => child.exitCode === null && child.signalCode === null

/** Starts a program of an example; it is killed with the scope, if it still runs. */
export const start = Effect.fnUntraced(function* (
  file: URL,
  options: { readonly args?: ReadonlyArray<string>; readonly env?: Readonly<Record<string, string | undefined>> } = {}
): Effect.fn.Return<ExampleProcess, never, Scope.Scope> {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, ["--conditions=source", fileURLToPath(file), ...(options.args ?? [])], {
        env: { ...process.env, ...options.env },
        stdio: ["pipe", "pipe", "pipe"]
      })
    ),
    (child) =>
      Effect.promise(async () => {
        if (!isRunning(child)) return
        const ended = once(child, "exit")
        child.kill("SIGKILL")
        await ended
      })
  )
  const printed: Array<{ readonly stream: "stdout" | "stderr"; readonly text: string }> = []
  const listeners = new Set<() => void>()
  const notify = () => {
    for (const listener of listeners) listener()
  }
  let isOver = false
  child.once("close", () => {
    isOver = true
    notify()
  })
  for (const stream of ["stdout", "stderr"] as const) {
    createInterface({ input: child[stream] }).on("line", (text) => {
      printed.push({ stream, text })
      notify()
    })
  }

  const failed = (detail: string) => new ExampleFailed({ detail, output: printed.map(({ text }) => text) })

  /** Looks again whenever the process printed or ended, until there is a result. */
  const until = <A>(what: string, look: () => Effect.Effect<A, ExampleFailed> | undefined) =>
    Effect.callback<A, ExampleFailed>((resume) => {
      const listener = () => {
        const result = look()
        if (result === undefined) return
        listeners.delete(listener)
        resume(result)
      }
      listeners.add(listener)
      listener()
      return Effect.sync(() => listeners.delete(listener))
    }).pipe(
      Effect.timeoutOrElse({
        duration: PATIENCE,
        orElse: () => Effect.suspend(() => Effect.fail(failed(`${what}: not within ${PATIENCE}`)))
      })
    )

  return {
    line: (pattern) =>
      until(String(pattern), () => {
        const found = printed.find(({ text }) => pattern.test(text))
        if (found !== undefined) return Effect.succeed(found.text)
        return isOver ? Effect.fail(failed(`ended (${child.exitCode}) without ${pattern}`)) : undefined
      }),
    lines: (stream) => printed.filter((line) => line.stream === stream).map(({ text }) => text),
    say: (text) =>
      Effect.sync(() => {
        child.stdin.write(`${text}\n`)
      }),
    terminate: Effect.sync(() => {
      child.kill("SIGTERM")
    }),
    kill: Effect.sync(() => {
      child.kill("SIGKILL")
    }),
    exitCode: until("the end", () => (isOver ? Effect.succeed(child.exitCode) : undefined))
  }
})
