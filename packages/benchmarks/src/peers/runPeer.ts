/** Runs a peer, which prints its measurements as JSON objects, one a line. */
import { Effect } from "effect"
import type { Measurement } from "../harness/Measurement.ts"
import type { Peer } from "./build.ts"
import { command } from "./command.ts"

export const runPeer = Effect.fnUntraced(function* (
  peer: Peer,
  args: ReadonlyArray<string>,
  flags: Readonly<Record<string, string>>
) {
  const written = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, value])
  const output = yield* command([...peer.command, ...args, ...written])
  return output
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as Measurement)
})
