/** The process of one cell: gets the cell's name and input from its parent, reports once and ends. */
import { Cause, Effect, Exit } from "effect"
import { cells, type CellName } from "./cells.ts"
import type { CellReport } from "./runCell.ts"

const report = (message: CellReport): void => {
  process.send!(message, () => process.exit(0))
}

process.once("message", async (message: { readonly cell: CellName; readonly input: never }) => {
  const cell = await cells[message.cell]()
  const exit = await Effect.runPromiseExit(Effect.scoped(cell(message.input)))
  report(Exit.isSuccess(exit) ? { measurements: exit.value } : { failure: Cause.pretty(exit.cause) })
})
