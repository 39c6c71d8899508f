/** Every cell by name, loaded when it is run: a cell's process holds only what it measures. */
import type { Effect, Scope } from "effect"
import type { Measurement } from "./Measurement.ts"
import type * as Drain from "../cells/drain.ts"
import type * as NodeCatchUp from "../cells/nodeCatchUp.ts"
import type * as NodePropagation from "../cells/nodePropagation.ts"
import type * as NodeWrite from "../cells/nodeWrite.ts"
import type * as RoundTrip from "../cells/roundTrip.ts"

export type Cell<Input> = (input: Input) => Effect.Effect<ReadonlyArray<Measurement>, unknown, Scope.Scope>

export interface CellInputs {
  readonly drain: Drain.Input
  readonly nodeCatchUp: NodeCatchUp.Input
  readonly nodePropagation: NodePropagation.Input
  readonly nodeWrite: NodeWrite.Input
  readonly roundTrip: RoundTrip.Input
}

export type CellName = keyof CellInputs

export const cells: { readonly [Name in CellName]: () => Promise<Cell<CellInputs[Name]>> } = {
  drain: async () => (await import("../cells/drain.ts")).cell,
  nodeCatchUp: async () => (await import("../cells/nodeCatchUp.ts")).cell,
  nodePropagation: async () => (await import("../cells/nodePropagation.ts")).cell,
  nodeWrite: async () => (await import("../cells/nodeWrite.ts")).cell,
  roundTrip: async () => (await import("../cells/roundTrip.ts")).cell
}
