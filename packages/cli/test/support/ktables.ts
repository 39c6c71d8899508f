/** The command as a process: with pipes, or on a pseudo-terminal, which util-linux' `script` opens. */
import { Deferred, Effect, type Scope } from "effect"
import { spawn } from "node:child_process"
import { constants } from "node:os"
import * as path from "node:path"

export const bin = path.resolve(import.meta.dirname, "../../src/bin.ts")

export interface Ended {
  /** As a shell says it: 128 and the signal's number, where a signal has ended the process. */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  /** What the process has written so far; on a terminal all of it is standard output. */
  readonly stdout: () => string
  readonly stderr: () => string
  readonly type: (text: string) => void
  readonly signal: (name: NodeJS.Signals) => void
  readonly ended: Effect.Effect<Ended>
  /** Waits until the standard output is as wanted. */
  readonly until: (holds: (stdout: string) => boolean) => Effect.Effect<void>
}

export interface Options {
  readonly env?: Readonly<Record<string, string>>
  /** On a pseudo-terminal of 100 columns and 20 rows. */
  readonly terminal?: boolean
  /** The standard input; without, it is empty. A terminal is typed into. */
  readonly input?: string
  /** What reads the standard output, as a shell's pipe does; the exit code is the command's. */
  readonly through?: string
}

const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`

const environment = (extra: Options["env"]) => {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(KAFKA_|NO_COLOR|FORCE_COLOR|NODE_|CI$|TERM$)/.test(name)
  )
  return { ...Object.fromEntries(inherited), TERM: "xterm", ...extra }
}

export const start = Effect.fnUntraced(function* (
  args: ReadonlyArray<string>,
  options: Options = {}
): Effect.fn.Return<Running, never, Scope.Scope> {
  const command = [process.execPath, "--conditions=source", bin, ...args]
  const [file, ...rest] = options.terminal
    ? ["script", "-qec", `stty cols 100 rows 20; exec ${command.map(quoted).join(" ")}`, "/dev/null"]
    : options.through === undefined
      ? command
      : ["bash", "-c", `${command.map(quoted).join(" ")} | ${options.through}; exit \${PIPESTATUS[0]}`]
  const child = spawn(file!, rest, { env: environment(options.env), stdio: ["pipe", "pipe", "pipe"] })
  yield* Effect.addFinalizer(() => Effect.sync(() => child.kill("SIGKILL")))
  let stdout = ""
  let stderr = ""
  const looks = new Set<() => void>()
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text
    for (const look of looks) look()
  })
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text))
  // It may have ended before it read what was typed.
  child.stdin.on("error", () => {})
  if (!options.terminal) child.stdin.end(options.input)
  const ended = yield* Deferred.make<Ended>()
  child.on("close", (code, signal) => {
    Deferred.doneUnsafe(ended, Effect.succeed({ code: code ?? 128 + constants.signals[signal!], stdout, stderr }))
    for (const look of looks) look()
  })
  return {
    stdout: () => stdout,
    stderr: () => stderr,
    type: (text) => child.stdin.write(text),
    signal: (name) => child.kill(name),
    ended: Deferred.await(ended),
    until: (holds) =>
      Effect.callback<void>((resume) => {
        const look = (): void => {
          if (holds(stdout)) return resume(Effect.void)
          if (child.exitCode === null && child.signalCode === null) return
          resume(Effect.die(new Error(`it ended before:\n${stdout}\n${stderr}`)))
        }
        looks.add(look)
        look()
        return Effect.sync(() => looks.delete(look))
      }).pipe(
        Effect.timeoutOrElse({
          duration: "60 seconds",
          orElse: () => Effect.die(new Error(`it has written:\n${stdout}\n${stderr}`))
        })
      )
  }
})

export const run = (args: ReadonlyArray<string>, options?: Options): Effect.Effect<Ended> =>
  Effect.scoped(Effect.flatMap(start(args, options), ({ ended }) => ended))

/** The values of lines of JSON. */
// oxlint-disable-next-line typescript/no-explicit-any
export const parsed = (stdout: string): ReadonlyArray<any> =>
  stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line))
