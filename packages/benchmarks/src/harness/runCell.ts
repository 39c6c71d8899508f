/** Runs one cell of the suite in a process of its own, so that no cell inherits another's heap, compiled code or sockets. */
import { Data, Effect } from "effect"
import { fork } from "node:child_process"
import type { CellInputs, CellName } from "./cells.ts"
import type { Measurement } from "./Measurement.ts"

export class CellFailed extends Data.TaggedError("CellFailed")<{
  readonly cell: string
  readonly detail: string
}> {
  override get message(): string {
    return `${this.cell}: ${this.detail}`
  }
}

/** What the cell's process says, once. */
export type CellReport = { readonly measurements: ReadonlyArray<Measurement> } | { readonly failure: string }

export interface CellOptions {
  /** Where the cell's CPU profile goes, if it is profiled. */
  readonly profile: string | undefined
}

export const runCell = <Name extends CellName>(
  cell: Name,
  input: CellInputs[Name],
  { profile }: CellOptions
): Effect.Effect<ReadonlyArray<Measurement>, CellFailed> =>
  Effect.callback<ReadonlyArray<Measurement>, CellFailed>((resume) => {
    const fail = (detail: string) => resume(Effect.fail(new CellFailed({ cell, detail })))
    const profiling = profile === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profile}`]
    const child = fork(new URL("./cellProcess.ts", import.meta.url), {
      execArgv: ["--conditions=source", "--expose-gc", ...profiling],
      // What a cell logs is not part of the report.
      stdio: ["ignore", 2, "inherit", "ipc"]
    })
    let report: CellReport | undefined
    child.once("error", (error) => fail(error.message))
    child.once("message", (message) => {
      report = message as CellReport
    })
    child.once("exit", (code, signal) => {
      if (report === undefined) return fail(`ended without a report (${signal ?? `exit code ${code}`})`)
      if ("failure" in report) return fail(report.failure)
      resume(Effect.succeed(report.measurements))
    })
    child.send({ cell, input })
    return Effect.sync(() => {
      child.kill("SIGKILL")
    })
  })
