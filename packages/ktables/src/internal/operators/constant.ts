/** A snapshot as something to derive from: a cell that is complete and never changes. */
import * as Effect from "effect/Effect"
import type * as HashMap from "effect/HashMap"
import { inSlices } from "../slice.ts"
import { Cell } from "../table/cell.ts"
import { Contents } from "../table/contents.ts"

export const constant = <K, V, E>(entries: HashMap.HashMap<K, V>): Effect.Effect<Cell<K, V, E>> =>
  Effect.suspend(() => {
    const contents = new Contents<K, V>()
    const rest = entries[Symbol.iterator]()
    const fill = inSlices(
      () => {
        const next = rest.next()
        if (next.done === true) return false
        contents.add(next.value[0], next.value[1])
        return true
      },
      { commit: (slice) => void contents.mutate(slice, false) }
    )
    return Effect.map(fill, () => {
      const cell = new Cell<K, V, E>({ name: "a snapshot", contents, same: Object.is, capacity: 1 })
      cell.setStatus({ _tag: "CaughtUp" })
      return cell
    })
  })
