/** Every cell by name, loaded when it is run: a cell's process holds only what it measures. */
import type { Effect, Scope } from "effect"
import type { Measurement } from "./Measurement.ts"
import type * as BareMap from "../cells/bareMap.ts"
import type * as Barrier from "../cells/barrier.ts"
import type * as CatchUp from "../cells/catchUp.ts"
import type * as Checkpoint from "../cells/checkpoint.ts"
import type * as Cold from "../cells/cold.ts"
import type * as Drain from "../cells/drain.ts"
import type * as FanOut from "../cells/fanOut.ts"
import type * as Http from "../cells/http.ts"
import type * as Idle from "../cells/idle.ts"
import type * as Memory from "../cells/memory.ts"
import type * as NodeCatchUp from "../cells/nodeCatchUp.ts"
import type * as NodePropagation from "../cells/nodePropagation.ts"
import type * as NodeWrite from "../cells/nodeWrite.ts"
import type * as Operators from "../cells/operators.ts"
import type * as Propagation from "../cells/propagation.ts"
import type * as Reads from "../cells/reads.ts"
import type * as Restart from "../cells/restart.ts"
import type * as RoundTrip from "../cells/roundTrip.ts"
import type * as Tables from "../cells/tables.ts"
import type * as Write from "../cells/write.ts"

export type Cell<Input> = (input: Input) => Effect.Effect<ReadonlyArray<Measurement>, unknown, Scope.Scope>

export interface CellInputs {
  readonly bareMap: BareMap.Input
  readonly barrier: Barrier.Input
  readonly catchUp: CatchUp.Input
  readonly checkpoint: Checkpoint.Input
  readonly cold: Cold.Input
  readonly drain: Drain.Input
  readonly fanOut: FanOut.Input
  readonly http: Http.Input
  readonly idle: Idle.Input
  readonly memory: Memory.Input
  readonly nodeCatchUp: NodeCatchUp.Input
  readonly nodePropagation: NodePropagation.Input
  readonly nodeWrite: NodeWrite.Input
  readonly operators: Operators.Input
  readonly propagation: Propagation.Input
  readonly reads: Reads.Input
  readonly restart: Restart.Input
  readonly roundTrip: RoundTrip.Input
  readonly tables: Tables.Input
  readonly write: Write.Input
}

export type CellName = keyof CellInputs

export const cells: { readonly [Name in CellName]: () => Promise<Cell<CellInputs[Name]>> } = {
  bareMap: async () => (await import("../cells/bareMap.ts")).cell,
  barrier: async () => (await import("../cells/barrier.ts")).cell,
  catchUp: async () => (await import("../cells/catchUp.ts")).cell,
  checkpoint: async () => (await import("../cells/checkpoint.ts")).cell,
  cold: async () => (await import("../cells/cold.ts")).cell,
  drain: async () => (await import("../cells/drain.ts")).cell,
  fanOut: async () => (await import("../cells/fanOut.ts")).cell,
  http: async () => (await import("../cells/http.ts")).cell,
  idle: async () => (await import("../cells/idle.ts")).cell,
  memory: async () => (await import("../cells/memory.ts")).cell,
  nodeCatchUp: async () => (await import("../cells/nodeCatchUp.ts")).cell,
  nodePropagation: async () => (await import("../cells/nodePropagation.ts")).cell,
  nodeWrite: async () => (await import("../cells/nodeWrite.ts")).cell,
  operators: async () => (await import("../cells/operators.ts")).cell,
  propagation: async () => (await import("../cells/propagation.ts")).cell,
  reads: async () => (await import("../cells/reads.ts")).cell,
  restart: async () => (await import("../cells/restart.ts")).cell,
  roundTrip: async () => (await import("../cells/roundTrip.ts")).cell,
  tables: async () => (await import("../cells/tables.ts")).cell,
  write: async () => (await import("../cells/write.ts")).cell
}
