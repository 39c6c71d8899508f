/** What tests of checkpoints begin with: a table of numbers that keeps one, where it can be looked at, taken away and damaged. */
import { Effect, Option } from "effect"
import type { KafkaTable } from "effect-ktables"
import { observeNumbers } from "../faults/fixtures.ts"
import type { SubjectOptions } from "../support/subject.ts"

/** The bytes of checkpoints by their names: what is there when a process is gone. */
export type Files = Map<string, Uint8Array>

/** A table of the topic that keeps a checkpoint. */
export const observeKept = (files: Files, options: Omit<SubjectOptions<string, number>, "decoding"> = {}) =>
  observeNumbers({ ...options, checkpoints: files })

/** What health says of a table's checkpoint. */
export const checkpointOf = (table: Pick<KafkaTable.Any, "health">) =>
  Effect.map(table.health, ({ checkpoint }) => Option.getOrThrow(checkpoint))
