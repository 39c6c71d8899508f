/** Runs a program to its end. */
import { Data, Effect } from "effect"
import { spawn } from "node:child_process"

export class CommandFailed extends Data.TaggedError("CommandFailed")<{
  readonly command: string
  readonly detail: string
}> {
  override get message(): string {
    return `${this.command}: ${this.detail}`
  }
}

/** What the program wrote to its standard output. */
export const command = (
  [program, ...args]: readonly [string, ...ReadonlyArray<string>],
  cwd?: string
): Effect.Effect<string, CommandFailed> =>
  Effect.callback<string, CommandFailed>((resume) => {
    const fail = (detail: string) => resume(Effect.fail(new CommandFailed({ command: program, detail })))
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], cwd })
    const out: Array<Buffer> = []
    const err: Array<Buffer> = []
    child.stdout.on("data", (chunk: Buffer) => out.push(chunk))
    child.stderr.on("data", (chunk: Buffer) => err.push(chunk))
    child.once("error", (error) => fail(error.message))
    child.once("close", (code, signal) => {
      if (code === 0) resume(Effect.succeed(Buffer.concat(out).toString("utf8")))
      else fail(`${signal ?? `exit code ${code}`}\n${Buffer.concat(err).toString("utf8").slice(-4000)}`)
    })
    return Effect.sync(() => {
      child.kill("SIGKILL")
    })
  })
